/// A test of a record's columns and fields, such as `rank < 64 and lang in [en, de]`.
///
/// A name is that of a column if a stage writes one, otherwise of a field of the record. `<`, `<=`, `>` and `>=` compare
/// numbers, also such as a record spells as strings; `==`, `!=` and `in` compare numbers by value, and anything else as it
/// is spelled. A missing field, or null, passes no test but `not NAME exists`.
public indirect enum RecordCondition: Sendable, Hashable, CustomStringConvertible {
    case all([RecordCondition])
    case any([RecordCondition])
    case not(RecordCondition)
    case test(name: String, Relation)

    /// What is asked of a value.
    public enum Relation: Sendable, Hashable {
        case less(Double)
        case atMost(Double)
        case more(Double)
        case atLeast(Double)
        /// Whether it is one of these.
        case among([Literal])
        /// Whether it is there and none of these.
        case notAmong([Literal])
        case exists
    }

    /// A value that a condition names.
    public struct Literal: Sendable, Hashable, CustomStringConvertible {
        public let text: String
        /// Whether it stands in quotes: then it is a text, even if it looks like a number.
        public let isQuoted: Bool
        let number: Double?
        private let whole: Int64?
        private let bytes: [UInt8]

        public init(_ text: String, isQuoted: Bool = false) {
            self.text = text
            self.isQuoted = isQuoted
            bytes = Array(text.utf8)
            number = isQuoted ? nil : RecordValue.number(bytes)
            whole = number == nil ? nil : Int64(text)
        }

        public var description: String {
            isQuoted ? "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\"" : text
        }

        /// Whether a value is this one.
        func equals(_ value: RecordValue) -> Bool {
            // Reals would take large numbers for equal that differ.
            if let whole, let other = value.wholeNumber { return whole == other }
            if let number, let other = value.number { return number == other }
            switch value {
            case .text(let other), .json(let other): return other == bytes
            case .integer, .real, .missing: return false
            }
        }
    }

    /// All names, each once, in their order.
    public var names: [String] {
        var found: [String] = []
        addNames(to: &found)
        return found
    }

    private func addNames(to found: inout [String]) {
        switch self {
        case .all(let parts), .any(let parts): for part in parts { part.addNames(to: &found) }
        case .not(let part): part.addNames(to: &found)
        case .test(let name, _): if !found.contains(name) { found.append(name) }
        }
    }

    /// Whether a record passes.
    ///
    /// - Parameter value: the value of a name.
    public func holds(_ value: (String) -> RecordValue) -> Bool {
        switch self {
        case .all(let parts): parts.allSatisfy { $0.holds(value) }
        case .any(let parts): parts.contains { $0.holds(value) }
        case .not(let part): !part.holds(value)
        case .test(let name, let relation): relation.holds(value(name))
        }
    }

    /// The condition as it is written, with parentheses where they are needed.
    public var description: String {
        switch self {
        case .all(let parts): parts.map { if case .any = $0 { "(\($0))" } else { "\($0)" } }.joined(separator: " and ")
        case .any(let parts): parts.map(\.description).joined(separator: " or ")
        case .not(.test(let name, let relation)): "not \(Self.spelled(name)) \(relation)"
        case .not(let part): "not (\(part))"
        case .test(let name, let relation): "\(Self.spelled(name)) \(relation)"
        }
    }

    private static func spelled(_ name: String) -> String {
        ConditionParser.isPlain(name) ? name : "`\(name)`"
    }
}

extension RecordCondition.Relation: CustomStringConvertible {
    func holds(_ value: RecordValue) -> Bool {
        switch self {
        case .less(let bound): value.number.map { $0 < bound } ?? false
        case .atMost(let bound): value.number.map { $0 <= bound } ?? false
        case .more(let bound): value.number.map { $0 > bound } ?? false
        case .atLeast(let bound): value.number.map { $0 >= bound } ?? false
        case .among(let literals): literals.contains { $0.equals(value) }
        case .notAmong(let literals): value != .missing && !literals.contains { $0.equals(value) }
        case .exists: value != .missing
        }
    }

    public var description: String {
        func list(_ literals: [RecordCondition.Literal]) -> String {
            "[\(literals.map(\.description).joined(separator: ", "))]"
        }
        func number(_ value: Double) -> String { Int64(exactly: value).map { "\($0)" } ?? JSONValue.real(value).json }
        return switch self {
        case .less(let bound): "< \(number(bound))"
        case .atMost(let bound): "<= \(number(bound))"
        case .more(let bound): "> \(number(bound))"
        case .atLeast(let bound): ">= \(number(bound))"
        case .among(let literals): literals.count == 1 ? "== \(literals[0])" : "in \(list(literals))"
        case .notAmong(let literals): literals.count == 1 ? "!= \(literals[0])" : "not in \(list(literals))"
        case .exists: "exists"
        }
    }
}
