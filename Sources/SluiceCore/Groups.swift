/// How a selection splits the records into groups.
public enum Grouping: Sendable, Hashable {
    /// All records are one group.
    case all
    /// By a column of integers or bytes, such as `cluster`. The stage's `reads` must declare it as `.integer`, `.bytes`
    /// or both.
    case by(ColumnName)
    /// By the column of this name, if an earlier stage writes one, else by the field of the record; the stage's `reads`
    /// must declare it as `.label`.
    ///
    /// A string stands for itself. Any other value counts as it is spelled in the record, so that a number 3 and a
    /// string "3" are one label, and a list is one label, not several. Records without the field, or with `null`, form
    /// a group without a label.
    case label(String)

    /// The grouping that an option such as `per` names: `all`, `cluster`, or the name of a column or a field.
    ///
    /// `cluster` is always the column, so that a definition without a stage that writes it is refused at once.
    public init(per name: String) {
        self = name == "all" ? .all : name == ColumnName.cluster.name ? .by(.cluster) : .label(name)
    }

    /// The input that a stage with this grouping must declare in its `reads`; none if all records are one group.
    public var reads: [Input] {
        switch self {
        case .all: []
        case .by(let name): [.column(name, [.integer, .bytes])]
        case .label(let name): [.label(name)]
        }
    }
}

/// What the records of a group have in common.
public enum GroupKey: Sendable, Hashable {
    /// All records are one group.
    case all
    /// The value of an integer column.
    case number(Int)
    /// The value of a column of bytes or of a field. What is not UTF-8 is repaired; a label of more than `longestLabel`
    /// bytes is cut, and a hash of the whole label added.
    case label(String)
    /// The records have no such field.
    case unlabelled

    /// The longest label, in bytes, that is kept as it is.
    public static let longestLabel = 64

    /// The key as a definition spells it; nil for all records and for records without a label.
    public var label: String? {
        switch self {
        case .all, .unlabelled: nil
        case .number(let number): String(number)
        case .label(let label): label
        }
    }

    /// The key for `run.json`: a number, a text or null.
    public var report: JSONValue {
        switch self {
        case .all, .unlabelled: .null
        case .number(let number): .integer(number)
        case .label(let label): .text(Printable.name(label))
        }
    }

    /// The group as messages name it.
    package var name: String {
        switch self {
        case .all: "the group"
        case .unlabelled: "the group without a label"
        case .number(let number): "group \(number)"
        case .label(let label): "the group `\(Printable.name(label, most: 60))`"
        }
    }
}

/// The groups of a selection, before it chooses in any of them.
///
/// There may be millions, so their keys are made on access: keep numbers, not a list of labels.
public struct Groups: RandomAccessCollection, Sendable {
    /// One group.
    public struct Element: Sendable, Hashable {
        public let key: GroupKey
        /// Its number of records.
        public let size: Int
        /// The sum of `Selection.weights` over its records; nil if the selection names none.
        public let weight: Int?

        public init(key: GroupKey, size: Int, weight: Int? = nil) {
            self.key = key
            self.size = size
            self.weight = weight
        }
    }

    /// The number of records of each group.
    public let sizes: [Int]
    private let weights: [Int]
    private let key: @Sendable (Int) -> GroupKey

    public init(_ groups: [Element]) {
        let keys = groups.map(\.key)
        self.init(sizes: groups.map(\.size), weights: groups.compactMap(\.weight)) { keys[$0] }
    }

    /// Groups of these sizes by an integer column with the values 0, 1, 2 and so on.
    public init(sizes: [Int]) { self.init(sizes: sizes, weights: []) { .number($0) } }

    /// - Parameter weights: one for each group, or none.
    package init(sizes: [Int], weights: [Int], key: @escaping @Sendable (Int) -> GroupKey) {
        self.sizes = sizes
        self.weights = weights
        self.key = key
    }

    /// The quotas of a selection that keeps this share or number of each group, or all of a smaller one.
    public func keeping(_ quantity: Quantity) -> [Int] { sizes.map { Swift.min($0, quantity.resolve(of: $0)) } }

    public var startIndex: Int { 0 }
    public var endIndex: Int { sizes.count }

    public subscript(index: Int) -> Element {
        Element(key: key(index), size: sizes[index], weight: weights.isEmpty ? nil : weights[index])
    }
}

extension FieldValue {
    /// The value as the label of a group; nil if the field is missing or null.
    package var label: ArraySlice<UInt8>? {
        switch self {
        case .missing, .null: nil
        case .string(let bytes), .json(let bytes): bytes
        case .chat(let turns): turns.encoded
        }
    }
}

extension Input {
    package var isColumn: Bool { if case .column = self { true } else { false } }

    /// What the input is after stages that write these columns: a label is a column or a field.
    package func resolved(after columns: [ColumnSpec]) -> Input {
        guard case .label(let name) = self else { return self }
        return columns.contains { $0.name.name == name }
            ? .column(ColumnName(name), [.integer, .bytes]) : .field(FieldPath(name))
    }
}
