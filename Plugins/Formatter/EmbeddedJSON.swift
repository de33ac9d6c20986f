/// JSON within a string of a record: `tools`, the arguments of calls, ShareGPT's `function_call`. Nobody has checked it.
///
/// The rules are those of RFC 8259, with at most 512 levels, so that a record that it becomes part of can be read again.
struct EmbeddedJSON {
    private static let mostLevels = 512

    private let bytes: UnsafeBufferPointer<UInt8>
    private var place = 0
    private var isObject: [Bool] = []

    /// Appends the one value in `text`, without the white space outside its strings; all other bytes stay as they are.
    ///
    /// - Returns: whether there is one; if not, nothing is appended.
    static func append(_ text: UnsafeBufferPointer<UInt8>, to bytes: inout [UInt8]) -> Bool {
        let before = bytes.count
        var reader = EmbeddedJSON(text)
        if reader.value(to: &bytes) { return true }
        bytes.removeLast(bytes.count - before)
        return false
    }

    private init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private var next: UInt8 { place < bytes.count ? bytes[place] : 0 }

    private mutating func skipBlanks() { while JSONCursor.isBlank(next) { place += 1 } }

    /// Copies one byte.
    private mutating func take(to out: inout [UInt8]) {
        out.append(next)
        place += 1
    }

    private mutating func value(to out: inout [UInt8]) -> Bool {
        while true {
            skipBlanks()
            switch next {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard isObject.count < Self.mostLevels else { return false }
                isObject.append(next == UInt8(ascii: "{"))
                take(to: &out)
                skipBlanks()
                if next != (isObject.last == true ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                    if isObject.last == true, !key(to: &out) { return false }
                    continue
                }
            case UInt8(ascii: "\""): if !string(to: &out) { return false }
            default: if !scalar(to: &out) { return false }
            }
            guard let isComplete = afterValue(to: &out) else { return false }
            if isComplete { return place == bytes.count }
        }
    }

    /// Closes containers up to the next value; nil if something else follows, true after the outermost value.
    private mutating func afterValue(to out: inout [UInt8]) -> Bool? {
        while true {
            skipBlanks()
            guard let inObject = isObject.last else { return true }
            if next == (inObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                take(to: &out)
                isObject.removeLast()
            } else if next == UInt8(ascii: ",") {
                take(to: &out)
                skipBlanks()
                // After a comma no container may end.
                if inObject { return key(to: &out) ? false : nil }
                return next == UInt8(ascii: "]") ? nil : false
            } else {
                return nil
            }
        }
    }

    private mutating func key(to out: inout [UInt8]) -> Bool {
        guard next == UInt8(ascii: "\""), string(to: &out) else { return false }
        skipBlanks()
        guard next == UInt8(ascii: ":") else { return false }
        take(to: &out)
        return true
    }

    private mutating func string(to out: inout [UInt8]) -> Bool {
        let start = place
        place += 1
        while place < bytes.count {
            switch bytes[place] {
            case UInt8(ascii: "\""):
                place += 1
                out.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start..<place]))
                return true
            case UInt8(ascii: "\\"): if !escape() { return false }
            case 0..<0x20: return false
            default: place += 1
            }
        }
        return false
    }

    private mutating func escape() -> Bool {
        place += 1
        switch next {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            place += 1
            return true
        case UInt8(ascii: "u"):
            guard let unit = codeUnit() else { return false }
            guard unit & 0xF800 == 0xD800 else { return true }
            guard unit < 0xDC00, next == UInt8(ascii: "\\") else { return false }
            place += 1
            guard next == UInt8(ascii: "u"), let low = codeUnit() else { return false }
            return (0xDC00..<0xE000).contains(low)
        default: return false
        }
    }

    /// The four digits after the `u` here.
    private mutating func codeUnit() -> UInt32? {
        place += 1
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = hexDigit(next) else { return nil }
            unit = unit << 4 | UInt32(digit)
            place += 1
        }
        return unit
    }

    private mutating func scalar(to out: inout [UInt8]) -> Bool {
        let start = place
        for word: StaticString in ["true", "false", "null"] {
            let length = word.utf8CodeUnitCount
            let text = UnsafeBufferPointer(start: word.utf8Start, count: length)
            guard bytes.count - place >= length, bytes[place..<(place + length)].elementsEqual(text) else { continue }
            place += length
            out.append(contentsOf: text)
            return true
        }
        if next == UInt8(ascii: "-") { place += 1 }
        if next == UInt8(ascii: "0") { place += 1 } else if !digits() { return false }
        if next == UInt8(ascii: ".") {
            place += 1
            if !digits() { return false }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            place += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { place += 1 }
            if !digits() { return false }
        }
        out.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start..<place]))
        return true
    }

    private mutating func digits() -> Bool {
        let start = place
        while (0x30...0x39).contains(next) { place += 1 }
        return place > start
    }
}
