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
    public let value: Report

    public init(_ name: String, _ value: Report) {
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

/// A value for `run.json` and the ledger: JSON with a fixed order of keys.
public indirect enum Report: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    case null
    case flag(Bool)
    case integer(Int)
    case real(Double)
    case text(String)
    case list([Report])
    case object([Entry])

    public struct Entry: Sendable, Hashable {
        public let key: String
        public let value: Report

        public init(_ key: String, _ value: Report) {
            self.key = key
            self.value = value
        }
    }

    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .real(value) }
    public init(booleanLiteral value: Bool) { self = .flag(value) }
    public init(arrayLiteral elements: Report...) { self = .list(elements) }
    public init(dictionaryLiteral elements: (String, Report)...) {
        self = .object(elements.map { Entry($0.0, $0.1) })
    }

    /// The value of `key`; nil if this is not an object or has no such key.
    public subscript(key: String) -> Report? {
        guard case .object(let entries) = self else { return nil }
        return entries.first { $0.key == key }?.value
    }

    public var integerValue: Int? { if case .integer(let value) = self { value } else { nil } }
    public var textValue: String? { if case .text(let value) = self { value } else { nil } }
    public var realValue: Double? {
        switch self {
        case .real(let value): value
        case .integer(let value): Double(value)
        default: nil
        }
    }
    public var entries: [Entry] { if case .object(let entries) = self { entries } else { [] } }
    public var elements: [Report] { if case .list(let elements) = self { elements } else { [] } }
}
