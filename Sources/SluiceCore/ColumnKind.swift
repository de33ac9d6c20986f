/// The types of column that a stage can work with: one type, or a set of them.
///
/// ```swift
/// public var reads: [Input] { [.column(.text, .bytes), .column("score", .number)] }
/// ```
public struct ColumnKind: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Bytes of any length.
    public static let bytes = ColumnKind(rawValue: 1)
    /// Int8 vectors of any dimension.
    public static let vector = ColumnKind(rawValue: 2)
    public static let integer = ColumnKind(rawValue: 4)
    public static let real = ColumnKind(rawValue: 8)
    /// Integers or reals: `Group.numbers(_:)` and `Block.numbers(_:)` read both.
    public static let number: ColumnKind = [.integer, .real]
    /// Any type.
    public static let any: ColumnKind = [.bytes, .vector, .integer, .real]

    /// The kind of a type.
    public init(_ type: ColumnType) {
        switch type {
        case .bytes: self = .bytes
        case .vector: self = .vector
        case .integer: self = .integer
        case .real: self = .real
        }
    }

    /// Whether a column of this type is of the kind.
    public func accepts(_ type: ColumnType) -> Bool { contains(ColumnKind(type)) }

    /// The kind as Swift spells it.
    package var spelling: String {
        if self == .any { return ".any" }
        if self == .number { return ".number" }
        let parts: [(ColumnKind, String)] = [
            (.bytes, ".bytes"), (.vector, ".vector"), (.integer, ".integer"), (.real, ".real"),
        ]
        let names = parts.filter { contains($0.0) }.map(\.1)
        return names.count == 1 ? names[0] : "[\(names.joined(separator: ", "))]"
    }

    /// What a column of this kind holds, for messages: `integers or reals`.
    package var words: String {
        let parts: [(ColumnKind, String)] = [
            (.bytes, "bytes"), (.vector, "vectors"), (.integer, "integers"), (.real, "reals"),
        ]
        let names = parts.filter { contains($0.0) }.map(\.1)
        guard let last = names.last, names.count > 1 else { return names.first ?? "nothing" }
        return names.dropLast().joined(separator: ", ") + " or " + last
    }
}

extension ColumnName {
    private static let longest = 64

    /// Whether the engine reserves the name for its own columns.
    package var isReserved: Bool { name.hasPrefix("_") }

    /// Why no stage may write a column of this name; nil for a valid name.
    ///
    /// A name is a letter followed by letters, digits, `_` or `-`, at most 64 characters: it becomes part of file names
    /// and a key of `picks.jsonl.zst`.
    package var fault: String? {
        if isReserved { return "names that begin with `_` are reserved" }
        if name == "file" || name == "line" { return "every line of picks.jsonl.zst has a key of that name" }
        let bytes = Array(name.utf8)
        let isLetter = { (byte: UInt8) in (65...90).contains(byte) || (97...122).contains(byte) }
        guard let first = bytes.first, isLetter(first), bytes.count <= Self.longest,
            bytes.allSatisfy({ isLetter($0) || (48...57).contains($0) || $0 == 45 || $0 == 95 })
        else {
            return "a name is a letter followed by letters, digits, `_` or `-`, at most \(Self.longest) characters"
        }
        return nil
    }
}
