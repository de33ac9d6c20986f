import SluiceCore

/// The fields of a record that are written beside its messages, in their own bytes and in the record's order.
struct Carry: Sendable {
    /// A key on the way to a field that is carried.
    private struct Node: Sendable {
        var key: [UInt8]
        /// Whether the value is carried as a whole.
        var isWhole = false
        var children: [Node] = []
    }

    /// Every field that the messages are not made of.
    let carriesAll: Bool
    private var top: [Node] = []

    static let all = Carry(carriesAll: true)

    private init(carriesAll: Bool) { self.carriesAll = carriesAll }

    init(_ paths: [FieldPath]) {
        carriesAll = false
        for path in paths { Self.add(path.keys.map { Array($0.utf8) }[...], to: &top) }
    }

    private static func add(_ keys: ArraySlice<[UInt8]>, to nodes: inout [Node]) {
        guard let key = keys.first else { return }
        if !nodes.contains(where: { $0.key == key }) { nodes.append(Node(key: key)) }
        for index in nodes.indices where nodes[index].key == key {
            if keys.count == 1 {
                nodes[index].isWhole = true
            } else {
                add(keys.dropFirst(), to: &nodes[index].children)
            }
        }
    }

    /// The first carried field whose name is one that the messages need; nil if there is none.
    ///
    /// - Parameter used: whether the messages are made of the field.
    func collision(
        in line: ArraySlice<UInt8>, used: ([UInt8]) -> Bool, taken: ([UInt8]) -> Bool
    ) -> String? {
        guard carriesAll || top.contains(where: { taken($0.key) }) else { return nil }
        var found: String?
        forEachField(of: line, used: used) { key, _, _ in
            if found == nil, taken(key) { found = String(decoding: key, as: UTF8.self) }
        }
        return found
    }

    /// Appends `,"key":value` of each carried field.
    func write(from line: ArraySlice<UInt8>, used: ([UInt8]) -> Bool, to bytes: inout [UInt8]) {
        forEachField(of: line, used: used) { _, spans, json in
            let before = bytes.count
            bytes.append(UInt8(ascii: ","))
            bytes.append(contentsOf: json[spans.key])
            bytes.append(UInt8(ascii: ":"))
            if let node = spans.node, !node.isWhole {
                if !Self.write(spans.value, of: json, node.children, to: &bytes) {
                    bytes.removeLast(bytes.count - before)
                }
            } else {
                bytes.append(contentsOf: json[spans.value])
            }
        }
    }

    /// Calls `body` with the plain key of each carried field, and its places. Of equal keys the first counts.
    private func forEachField(
        of line: ArraySlice<UInt8>, used: ([UInt8]) -> Bool,
        _ body: ([UInt8], (key: Span, value: Span, node: Node?), UnsafeBufferPointer<UInt8>) -> Void
    ) {
        line.withUnsafeBufferPointer { json in
            var cursor = JSONCursor(json)
            cursor.skipBlanks()
            var keys = KeySet()
            json.forEachMember(Span(start: cursor.place, end: json.count)) { key, value in
                let spelling = json.spelling(key)
                var plain: [UInt8] = []
                if carriesAll {
                    spelling.appendUnescaped(to: &plain)
                    if !used(plain), keys.insert(spelling) { body(plain, (key, value, nil), json) }
                } else if let node = Self.node(spelling, in: top), keys.insert(spelling) {
                    body(node.key, (key, value, node), json)
                }
            }
        }
    }

    private static func node(_ spelling: UnsafeBufferPointer<UInt8>, in nodes: [Node]) -> Node? {
        if !spelling.contains(UInt8(ascii: "\\")) { return nodes.first { $0.key.elementsEqual(spelling) } }
        var plain: [UInt8] = []
        spelling.appendUnescaped(to: &plain)
        return nodes.first { $0.key == plain }
    }

    /// Appends an object with the carried members of the one at `span`.
    ///
    /// - Returns: whether there are any.
    private static func write(
        _ span: Span, of json: UnsafeBufferPointer<UInt8>, _ nodes: [Node], to bytes: inout [UInt8]
    ) -> Bool {
        guard json.kind(span) == .object else { return false }
        var isEmpty = true
        var keys = KeySet()
        bytes.append(UInt8(ascii: "{"))
        json.forEachMember(span) { key, value in
            guard let node = node(json.spelling(key), in: nodes), keys.insert(json.spelling(key)) else { return }
            let before = bytes.count
            if !isEmpty { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: json[key])
            bytes.append(UInt8(ascii: ":"))
            if node.isWhole {
                bytes.append(contentsOf: json[value])
            } else if !write(value, of: json, node.children, to: &bytes) {
                bytes.removeLast(bytes.count - before)
                return
            }
            isEmpty = false
        }
        bytes.append(UInt8(ascii: "}"))
        return !isEmpty
    }
}
