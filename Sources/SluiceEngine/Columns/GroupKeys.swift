import SluiceCore
import SluiceIO

/// Finds the group of each row of a store.
///
/// A group has an `Int64` key: the value of a column of integers, or the index of its label in byte order, and -1 for
/// records without one.
struct GroupKeys: Sendable {
    /// What holds the keys.
    enum Source: Sendable, Hashable {
        /// All records are one group.
        case all
        case integers(ColumnName)
        case labels(ColumnName)
        /// A field, as `FieldColumns` keeps it.
        case field(FieldPath)

        /// The column of the store to read; nil for none.
        var column: ColumnName? {
            switch self {
            case .all: nil
            case .integers(let name), .labels(let name): name
            case .field(let path): FieldColumns.name(path)
            }
        }
    }

    static let unlabelled: Int64 = -1

    let source: Source
    /// Empty until collected, and for integers.
    private(set) var labels = GroupLabels()

    init(_ grouping: Grouping, in store: ColumnStore) {
        func column(_ name: ColumnName) -> Source { store.types[name] == .bytes ? .labels(name) : .integers(name) }
        source =
            switch grouping {
            case .all: .all
            case .by(let name): column(name)
            case .label(let name):
                store.types[ColumnName(name)] == nil ? .field(FieldPath(name)) : column(ColumnName(name))
            }
    }

    /// Keys whose labels are known, for naming groups.
    init(isAll: Bool, labels: GroupLabels?) {
        source = isAll ? .all : labels == nil ? .integers("") : .labels("")
        self.labels = labels ?? GroupLabels()
    }

    /// Whether a pass over the rows has to find the labels first.
    var hasLabels: Bool {
        switch source {
        case .all, .integers: false
        case .labels, .field: true
        }
    }

    mutating func adopt(_ labels: GroupLabels) { self.labels = labels }

    func key(_ number: Int64) -> GroupKey {
        guard hasLabels else {
            if source == .all { return .all }
            return number == Column.missingInteger ? .unlabelled : .number(Int(number))
        }
        return number == Self.unlabelled ? .unlabelled : .label(labels.text(Int(number)))
    }

    /// The label of each of some rows; nil for a row without one.
    ///
    /// - Parameter rows: within one shard.
    func forEachLabel(
        in store: ColumnStore, _ rows: Range<Int>, _ chosen: [Int],
        _ body: (_ row: Int, _ label: UnsafeRawBufferPointer?) throws -> Void
    ) throws {
        guard let name = source.column, case .bytes(let values)? = try store.load([name], rows, chosen).first?.column
        else { return }
        let isField = if case .field = source { true } else { false }
        try values.bytes.withUnsafeBytes { bytes in
            for (place, row) in chosen.enumerated() {
                let start = place == 0 ? 0 : values.ends[place - 1]
                let value = UnsafeRawBufferPointer(rebasing: bytes[start..<values.ends[place]])
                // A text of a column is empty where it is missing.
                guard let label = isField ? FieldColumns.label(value) : value.isEmpty ? nil : value else {
                    try body(row, nil)
                    continue
                }
                try GroupLabels.kept(label) { try body(row, $0) }
            }
        }
    }

    /// The keys of some rows of a range; those of other rows are undefined.
    func keys(in store: ColumnStore, _ rows: Range<Int>, _ chosen: [Int]) throws -> [Int64] {
        guard hasLabels else {
            guard let name = source.column else { return [Int64](repeating: 0, count: rows.count) }
            return try store.integers(name, rows)
        }
        var keys = [Int64](repeating: Self.unlabelled, count: rows.count)
        var last: (label: [UInt8], key: Int64)?
        try forEachLabel(in: store, rows, chosen) { row, label in
            guard let label else { return }
            if let last, last.label.elementsEqual(label) {
                keys[row] = last.key
                return
            }
            guard let index = labels.index(of: label) else {
                throw EngineError(.fault, "a label was not found when the records were grouped")
            }
            keys[row] = Int64(index)
            last = (Array(label), Int64(index))
        }
        return keys
    }
}

extension FieldColumns {
    /// The label that a kept field stands for; nil if the field is missing or null.
    static func label(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let first = value.first, let kind = FieldKind(rawValue: first) else { return nil }
        return switch kind {
        case .missing, .null: nil
        case .string, .json, .chat: UnsafeRawBufferPointer(rebasing: value.dropFirst())
        }
    }
}
