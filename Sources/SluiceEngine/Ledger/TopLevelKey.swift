import Glibc
import SluiceCore
import SluiceIO

extension UnsafeRawBufferPointer {
    /// Appends the bytes of this JSON object without its entries under `key`, even if the key is written with escapes.
    /// Nested objects and all other bytes stay as they are.
    ///
    /// - Precondition: the bytes are one valid JSON object.
    func appendWithout(_ key: String, to bytes: inout [UInt8]) {
        guard mayName(key) else {
            bytes.append(contentsOf: self)
            return
        }
        var walk = EntryWalk(bytes: self)
        var copied = 0
        while let entry = walk.next() {
            guard entry.isNamed(key, in: self) else { continue }
            // Removes the comma before it; the first entry takes the comma after it and the following white space.
            let start = entry.comma ?? entry.key.lowerBound
            var end = entry.end
            if entry.comma == nil, end < count, self[end] == UInt8(ascii: ",") {
                end += 1
                while end < count, isBlank(self[end]) { end += 1 }
                walk.dropComma(at: entry.end)
            }
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: self[copied..<start]))
            copied = end
        }
        bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: self[copied...]))
    }

    /// Whether the key may occur, plain or with escapes; false for nearly all lines.
    private func mayName(_ key: String) -> Bool {
        holds(Array(key.utf8)) || holds(Array("\\u".utf8))
    }

    private func holds(_ word: [UInt8]) -> Bool {
        guard let baseAddress, let first = word.first else { return false }
        var at = 0
        while at < count, let found = memchr(baseAddress + at, Int32(first), count - at) {
            let place = UnsafeRawPointer(found) - baseAddress
            if self[place...].starts(with: word) { return true }
            at = place + 1
        }
        return false
    }
}

private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }

/// Walks the entries of a valid JSON object and returns their positions.
private struct EntryWalk {
    struct Entry {
        /// The comma before it, unless it is the first entry that stays.
        let comma: Int?
        /// The key with its quotes.
        let key: Range<Int>
        /// The end of its value and the white space after it.
        let end: Int

        func isNamed(_ name: String, in bytes: UnsafeRawBufferPointer) -> Bool {
            let inner = bytes[(key.lowerBound + 1)..<(key.upperBound - 1)]
            guard inner.contains(UInt8(ascii: "\\")) else { return inner.elementsEqual(name.utf8) }
            guard let spelled = try? JSONValue(json: Array(bytes[key])) else { return false }
            return spelled.textValue == name
        }
    }

    let bytes: UnsafeRawBufferPointer
    private var at = 0
    private var comma: Int?

    init(bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        skipBlanks()
        // The opening brace.
        at += 1
    }

    /// The next entry no longer has a comma before it.
    mutating func dropComma(at place: Int) { if comma == place { comma = nil } }

    mutating func next() -> Entry? {
        skipBlanks()
        guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { return nil }
        let start = at
        skipString()
        let key = start..<at
        skipValue()
        let entry = Entry(comma: comma, key: key, end: at)
        comma = at < bytes.count && bytes[at] == UInt8(ascii: ",") ? at : nil
        at += 1
        return entry
    }

    private mutating func skipBlanks() { while at < bytes.count, isBlank(bytes[at]) { at += 1 } }

    private mutating func skipString() {
        at += 1
        while at < bytes.count, bytes[at] != UInt8(ascii: "\"") { at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1 }
        at += 1
    }

    /// Skips the colon and the value, up to the comma or brace that ends the entry.
    private mutating func skipValue() {
        var depth = 0
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: "\""):
                skipString()
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return }
                depth -= 1
            case UInt8(ascii: ",") where depth == 0: return
            default: break
            }
            at += 1
        }
    }
}
