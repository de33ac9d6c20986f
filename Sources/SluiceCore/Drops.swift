/// The reason for a drop, as a short hyphenated name: `too-short`, `duplicate`.
public struct Reason: Sendable, Hashable, Comparable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let name: String

    public init(_ name: String) { self.name = name }
    public init(stringLiteral value: String) { name = value }
    public var description: String { name }
    public static func < (a: Reason, b: Reason) -> Bool { a.name < b.name }
}

/// A number or word behind a drop, written to the ledger under `name`.
public struct Measure: Sendable, Hashable {
    public let name: String
    public let value: JSONValue

    public init(_ name: String, _ value: JSONValue) {
        self.name = name
        self.value = value
    }
}

/// A record that a transform drops.
public struct Drop: Sendable, Hashable {
    /// Index of the record in its block.
    public let record: Int
    public let reason: Reason
    public let measures: [Measure]
}
