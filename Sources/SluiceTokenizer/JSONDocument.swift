/// A parsed JSON file that keeps the bytes of its strings as they are.
///
/// Vocabularies have keys that differ only in bytes that Unicode calls equivalent, so a key here is bytes and never a
/// `String`. All values lie in one array and all strings in another: a vocabulary of 300,000 entries takes no allocation
/// for each. Strict RFC 8259, at most 64 levels.
struct JSONDocument {
    enum Kind: UInt8 { case null, flag, number, string, list, object }

    /// A value: `start` and `count` are its bytes in `text` (strings and numbers), or the number of its entries.
    /// `end` is the index after the last value inside it. An object's entries are a key and its value, in turn.
    struct Node {
        let kind: Kind
        var start: Int32
        var count: Int32
        var end: Int32
    }

    private(set) var nodes: [Node] = []
    private(set) var text: [UInt8] = []

    /// - Throws: what is wrong, with its byte.
    init(_ bytes: UnsafeRawBufferPointer) throws(TokenizerError) {
        guard bytes.count < 1 << 30 else { throw .wrong("it is larger than 1 GiB") }
        text.reserveCapacity(bytes.count / 2)
        nodes.reserveCapacity(bytes.count / 16)
        var reader = JSONReader(bytes)
        try reader.document(into: &nodes, &text)
    }

    var root: JSONItem { JSONItem(document: self, index: 0) }
}

/// A value of a document.
struct JSONItem {
    let document: JSONDocument
    let index: Int

    private var node: JSONDocument.Node { document.nodes[index] }
    var kind: JSONDocument.Kind { node.kind }
    var isNull: Bool { kind == .null }

    /// The bytes of a string; nil for other values.
    var string: ArraySlice<UInt8>? {
        guard kind == .string else { return nil }
        return document.text[Int(node.start)..<Int(node.start + node.count)]
    }

    /// A string as text, for names of types and for messages.
    var name: String? { string.map { String(decoding: $0, as: UTF8.self) } }

    var flag: Bool? { kind == .flag ? node.count == 1 : nil }

    /// A number, rounded to the nearest Double.
    var number: Double? {
        guard kind == .number else { return nil }
        let digits = document.text[Int(node.start)..<Int(node.start + node.count)]
        return Double(String(decoding: digits, as: UTF8.self))
    }

    /// A whole number without point or exponent.
    var integer: Int? {
        guard kind == .number else { return nil }
        var value = 0
        var isNegative = false
        for (place, byte) in document.text[Int(node.start)..<Int(node.start + node.count)].enumerated() {
            if place == 0, byte == UInt8(ascii: "-") {
                isNegative = true
                continue
            }
            guard (48...57).contains(byte), value < Int.max / 16 else { return nil }
            value = value * 10 + Int(byte - 48)
        }
        return isNegative ? -value : value
    }

    /// The number of entries of a list or an object; 0 for other values.
    var count: Int { kind == .list || kind == .object ? Int(node.count) : 0 }

    /// Calls `body` with each value of a list.
    func forEach<E: Error>(_ body: (JSONItem) throws(E) -> Void) throws(E) {
        guard kind == .list else { return }
        var next = index + 1
        for _ in 0..<count {
            try body(JSONItem(document: document, index: next))
            next = Int(document.nodes[next].end)
        }
    }

    /// Calls `body` with each key of an object and its value.
    func forEachEntry<E: Error>(_ body: (ArraySlice<UInt8>, JSONItem) throws(E) -> Void) throws(E) {
        guard kind == .object else { return }
        var next = index + 1
        for _ in 0..<count {
            let key = document.nodes[next]
            let value = Int(key.end)
            try body(
                document.text[Int(key.start)..<Int(key.start + key.count)], JSONItem(document: document, index: value))
            next = Int(document.nodes[value].end)
        }
    }

    /// The values of a list.
    var items: [JSONItem] {
        var found: [JSONItem] = []
        forEach { found.append($0) }
        return found
    }

    /// The last value of a key; nil if there is none, or if it is null.
    subscript(_ name: String) -> JSONItem? {
        var found: JSONItem?
        forEachEntry { key, value in if key.elementsEqual(name.utf8) { found = value } }
        return found?.isNull == true ? nil : found
    }
}
