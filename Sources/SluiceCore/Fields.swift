/// The path of a field in a JSON object: `a.b` is field `b` of object `a`; `\.` is a dot in a name.
///
/// Where an object names a field twice, the first one counts.
public struct FieldPath: Sendable, Hashable, Comparable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let description: String
    /// Whether it is the special path `chat`: a field of the record may have the same name.
    public let isChat: Bool

    public init(_ path: String) { self.init(path, isChat: false) }
    public init(stringLiteral value: String) { self.init(value, isChat: false) }

    private init(_ description: String, isChat: Bool) {
        self.description = description
        self.isChat = isChat
    }

    public static func < (a: FieldPath, b: FieldPath) -> Bool {
        a.description != b.description ? a.description < b.description : !a.isChat && b.isChat
    }

    /// The keys, outermost first; empty for `chat`. A backslash makes the next character literal.
    public var keys: [String] {
        if isChat { return [] }
        var keys: [String] = []
        var key = ""
        var escaped = false
        for scalar in description.unicodeScalars {
            if escaped {
                key.unicodeScalars.append(scalar)
                escaped = false
            } else if scalar == "\\" {
                escaped = true
            } else if scalar == "." {
                keys.append(key)
                key = ""
            } else {
                key.unicodeScalars.append(scalar)
            }
        }
        if escaped { key += "\\" }
        return keys + [key]
    }

    /// The turns of a chat record: `messages` of role and content, or ShareGPT's `conversations` of from and value.
    public static let chat = FieldPath("<chat>", isChat: true)
}

/// The kind of value found at a path.
public enum FieldKind: UInt8, Sendable {
    /// The key is missing, or a value on the path is not an object.
    case missing = 0
    case null = 1
    /// The string's characters, unescaped, in UTF-8.
    case string = 2
    /// A number, boolean, array or object: its JSON exactly as written.
    case json = 3
    /// Turns in the encoding of `ChatTurns`.
    case chat = 4
}

/// The value of a field in one record.
public enum FieldValue: Sendable, Hashable {
    case missing
    case null
    /// A string, unescaped, UTF-8.
    case string(ArraySlice<UInt8>)
    /// A number, boolean, array or object, as spelled in the record.
    case json(ArraySlice<UInt8>)
    case chat(ChatTurns)

    /// The bytes of a string, or nil for anything else.
    public var string: ArraySlice<UInt8>? {
        if case .string(let bytes) = self { bytes } else { nil }
    }

    /// The number that it is, or that a string spells as JSON does; nil for anything else and for what is too large for a
    /// `Double`. A missing number is not 0: drop the record, or write NaN.
    public var number: Double? {
        switch self {
        case .missing, .null, .chat: return nil
        case .json(let bytes), .string(let bytes):
            guard let first = bytes.first, first == UInt8(ascii: "-") || (48...57).contains(first),
                bytes.allSatisfy({ (48...57).contains($0) || "+-.eE".utf8.contains($0) }),
                let number = Double(String(decoding: bytes, as: UTF8.self)), number.isFinite
            else { return nil }
            return number
        }
    }
}

/// The turns of a chat record, in order.
public struct ChatTurns: Sendable, Hashable, Sequence {
    /// For each turn: role length (four bytes, little-endian), role, content length (likewise), content.
    public let encoded: ArraySlice<UInt8>

    public init(encoded: ArraySlice<UInt8>) { self.encoded = encoded }

    public struct Turn: Sendable, Hashable {
        /// `system`, `user`, `assistant`, or any other role that the record gives.
        public let role: ArraySlice<UInt8>
        public let content: ArraySlice<UInt8>
    }

    public struct Iterator: IteratorProtocol {
        var rest: ArraySlice<UInt8>

        public mutating func next() -> Turn? {
            guard let role = take(), let content = take() else { return nil }
            return Turn(role: role, content: content)
        }

        private mutating func take() -> ArraySlice<UInt8>? {
            guard rest.count >= 4 else { return nil }
            let length = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(4)
            guard rest.count >= length else { return nil }
            defer { rest = rest.dropFirst(length) }
            return rest.prefix(length)
        }
    }

    public func makeIterator() -> Iterator { Iterator(rest: encoded) }
}

/// The values of the declared fields of a block's records, extracted in one parse.
package struct FieldTable: Sendable, Hashable {
    package struct Entry: Sendable, Hashable {
        package var offset: UInt32
        package var length: UInt32
        package var kind: FieldKind

        package init(offset: UInt32, length: UInt32, kind: FieldKind) {
            (self.offset, self.length, self.kind) = (offset, length, kind)
        }
    }

    package let paths: [FieldPath]
    /// Contents of all fields.
    package var arena: [UInt8] = []
    /// `paths.count` entries per record, record after record.
    package var entries: [Entry] = []

    package init(paths: [FieldPath]) { self.paths = paths }
}

/// One field of all records of a block.
public struct FieldColumn: Sendable {
    let table: FieldTable
    let index: Int

    package init(_ table: FieldTable, index: Int) {
        self.table = table
        self.index = index
    }

    public var count: Int { table.entries.count / table.paths.count }

    /// The number of each record; NaN where the field has none. See `FieldValue.number`.
    public var numbers: [Double] { (0..<count).map { self[$0].number ?? .nan } }

    public subscript(row: Int) -> FieldValue {
        let entry = table.entries[row * table.paths.count + index]
        let bytes = table.arena[Int(entry.offset)..<(Int(entry.offset) + Int(entry.length))]
        return switch entry.kind {
        case .missing: .missing
        case .null: .null
        case .string: .string(bytes)
        case .json: .json(bytes)
        case .chat: .chat(ChatTurns(encoded: bytes))
        }
    }
}
