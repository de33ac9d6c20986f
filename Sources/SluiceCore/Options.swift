/// A count or a share: `10000` or `5%`.
public struct Quantity: Sendable, Hashable, CustomStringConvertible {
    enum Storage: Hashable {
        case count(Int)
        /// Millionths of a percent: exact for six decimals.
        case share(Int)
    }

    let storage: Storage

    public static func count(_ count: Int) -> Quantity { Quantity(storage: .count(count)) }

    /// A percentage, kept to six decimals.
    public static func percent(_ percent: Double) -> Quantity {
        Quantity(storage: .share(Int((percent * 1_000_000).rounded(.toNearestOrEven))))
    }

    /// `5%`, `5 %`, `0.5%`, `10000`; nil for anything else.
    public init?(_ text: String) {
        guard text.hasSuffix("%") else {
            guard let count = OptionKind.integer(text), !text.hasPrefix("-") else { return nil }
            storage = .count(count)
            return
        }
        // Some languages put a space before the sign.
        let number = text.dropLast().last == " " ? text.dropLast(2) : text.dropLast()
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, let whole = OptionKind.integer(String(parts[0])), !parts[0].hasPrefix("-"), whole <= 100
        else { return nil }
        var millionths = 0
        if parts.count == 2 {
            guard (1...6).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ (48...57).contains($0) }),
                let digits = Int(parts[1])
            else { return nil }
            millionths = (parts[1].utf8.count..<6).reduce(digits) { value, _ in value * 10 }
        }
        let share = whole * 1_000_000 + millionths
        guard share <= 100_000_000 else { return nil }
        storage = .share(share)
    }

    init(storage: Storage) { self.storage = storage }

    public var isShare: Bool { if case .share = storage { true } else { false } }

    /// Whether this is `0` or `0%`.
    public var isZero: Bool {
        switch storage {
        case .count(let count): count == 0
        case .share(let share): share == 0
        }
    }

    /// The number of records out of `total`. A share is rounded to the nearest integer, half to even, and is at least 1
    /// unless `total` is 0; a count is returned unchanged.
    public func resolve(of total: Int) -> Int {
        switch storage {
        case .count(let count): return count
        case .share(let share):
            guard total > 0, share > 0 else { return 0 }
            let (quotient, remainder) = 100_000_000.dividingFullWidth(total.multipliedFullWidth(by: share))
            let doubled = remainder * 2
            let up = doubled > 100_000_000 || (doubled == 100_000_000 && quotient % 2 == 1)
            return max(1, quotient + (up ? 1 : 0))
        }
    }

    /// Whether `part` exceeds this share of `whole`, or this count. Exact.
    package func isExceeded(by part: Int, of whole: Int) -> Bool {
        guard case .share(let share) = storage else { return part > resolve(of: whole) }
        let found = part.multipliedFullWidth(by: 100_000_000), allowed = whole.multipliedFullWidth(by: share)
        return (found.high, found.low) > (allowed.high, allowed.low)
    }

    public var description: String {
        switch storage {
        case .count(let count): return String(count)
        case .share(let share):
            let fraction = share % 1_000_000
            guard fraction > 0 else { return "\(share / 1_000_000)%" }
            var digits = String(fraction)
            digits = String(repeating: "0", count: 6 - digits.utf8.count) + digits
            while digits.hasSuffix("0") { digits.removeLast() }
            return "\(share / 1_000_000).\(digits)%"
        }
    }
}

/// The value of an option.
public enum OptionValue: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    case text(String)
    case integer(Int)
    case real(Double)
    case flag(Bool)
    case quantity(Quantity)
    case list([OptionValue])
    /// Values by name; their order has no meaning.
    case map([String: OptionValue])

    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .real(value) }
    public init(booleanLiteral value: Bool) { self = .flag(value) }
    public init(arrayLiteral elements: OptionValue...) { self = .list(elements) }
    public init(dictionaryLiteral elements: (String, OptionValue)...) {
        self = .map(Dictionary(elements) { _, last in last })
    }

    /// The value as written in a definition.
    public var report: JSONValue {
        switch self {
        case .text(let value): .text(value)
        case .integer(let value): .integer(value)
        case .real(let value): .real(value)
        case .flag(let value): .flag(value)
        case .quantity(let value): .text(value.description)
        case .list(let values): .list(values.map(\.report))
        case .map(let values): .object(values.sorted { $0.key < $1.key }.map { .init($0.key, $0.value.report) })
        }
    }
}

/// The options of a stage by name.
public struct OptionValues: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    public private(set) var values: [String: OptionValue]

    public init(_ values: [String: OptionValue] = [:]) { self.values = values }
    public init(dictionaryLiteral elements: (String, OptionValue)...) {
        values = Dictionary(elements) { _, last in last }
    }

    public subscript(name: String) -> OptionValue? {
        get { values[name] }
        set { values[name] = newValue }
    }

    public var names: [String] { values.keys.sorted() }

    public func text(_ name: String) throws(StageError) -> String {
        guard case .text(let value) = values[name] else { throw missing(name, "a text") }
        return value
    }

    /// The column that an option of kind `.column` or `.newColumn` names.
    public func column(_ name: String) throws(StageError) -> ColumnName { ColumnName(try text(name)) }

    /// The field that an option names: `score`, or `meta.score` within an object.
    public func field(_ name: String) throws(StageError) -> FieldPath { FieldPath(try text(name)) }

    /// The groups that an option of kind `.label`, such as `per`, asks for; all records are one group if it is not given.
    public func grouping(_ name: String) throws(StageError) -> Grouping {
        values[name] == nil ? .all : Grouping(per: try text(name))
    }

    public func integer(_ name: String) throws(StageError) -> Int {
        guard case .integer(let value) = values[name] else { throw missing(name, "a whole number") }
        return value
    }

    public func real(_ name: String) throws(StageError) -> Double {
        switch values[name] {
        case .real(let value): return value
        case .integer(let value): return Double(value)
        default: throw missing(name, "a number")
        }
    }

    public func flag(_ name: String) throws(StageError) -> Bool {
        guard case .flag(let value) = values[name] else { throw missing(name, "true or false") }
        return value
    }

    public func quantity(_ name: String) throws(StageError) -> Quantity {
        switch values[name] {
        case .quantity(let value): return value
        case .integer(let value) where value >= 0: return .count(value)
        default: throw missing(name, "a count or a percentage")
        }
    }

    public func texts(_ name: String) throws(StageError) -> [String] {
        guard case .list(let values) = values[name] else { throw missing(name, "a list of texts") }
        return values.compactMap { if case .text(let value) = $0 { value } else { nil } }
    }

    /// The values of a map by name, each in the normal form of the option's kind.
    public func map(_ name: String) throws(StageError) -> [String: OptionValue] {
        guard case .map(let values) = values[name] else { throw missing(name, "a map") }
        return values
    }

    private func missing(_ name: String, _ kind: String) -> StageError {
        .option(name, "`\(name)` must be given as \(kind)")
    }
}
