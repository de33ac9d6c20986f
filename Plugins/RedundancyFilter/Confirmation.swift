import SluiceCore

extension ColumnName {
    /// What is compared of a text, in bytes: hashes of its numbers and of its operators, of eight each, and its pairs of
    /// words; see `TextTraits` and `WordPairs`.
    static let textMarks: ColumnName = "text_marks"
}

/// What the texts of two near duplicates must have in common before one is dropped.
struct Confirmation: Sendable, Hashable {
    /// The least overlap of their pairs of words, in thousandths.
    var overlap = 800
    var numbersAreEqual = true
    var operatorsAreEqual = true

    static let columns = [ColumnSpec(.textMarks, .vector(dimension: TextMarks.bytes))]

    init() {}

    /// - Parameter entries: `overlap`, `numbers` and `operators`; what is not given is as by default.
    init(_ entries: [String: OptionValue]) throws(StageError) {
        func rule(_ name: String) throws(StageError) -> Bool {
            switch entries[name] {
            case nil, .text("equal"): return true
            case .text("any"): return false
            default: throw .option("confirm", "`\(name)` in `confirm` is `equal` or `any`")
            }
        }
        let known = ["overlap", "numbers", "operators"]
        if let other = entries.keys.sorted().first(where: { !known.contains($0) }) {
            throw .option("confirm", "`confirm` has no entry `\(other)`; it has overlap, numbers and operators")
        }
        numbersAreEqual = try rule("numbers")
        operatorsAreEqual = try rule("operators")
        switch entries["overlap"] {
        case nil: break
        case .integer(let share) where 0...1 ~= share: overlap = 1000 * share
        case .real(let share) where 0...1 ~= share: overlap = Int((share * 1000).rounded())
        default: throw .option("confirm", "`overlap` in `confirm` is a number from 0 to 1, such as 0.8")
        }
    }

    var report: JSONValue {
        func word(_ isEqual: Bool) -> JSONValue { isEqual ? "equal" : "any" }
        return [
            "overlap": .real(Double(overlap) / 1000), "numbers": word(numbersAreEqual),
            "operators": word(operatorsAreEqual),
        ]
    }
}

/// Writes what a confirmation compares, of each text.
struct TextMarking: Transform {
    func apply(to block: inout Block) throws(StageError) {
        let texts = try block.bytes(.text)
        var marks: [Int8] = []
        marks.reserveCapacity(block.count * TextMarks.bytes)
        texts.bytes.withUnsafeBufferPointer { bytes in
            var start = 0
            for (record, end) in texts.ends.enumerated() {
                var words = WordPairs()
                var traits = TextTraits()
                if block.isLive(record) {
                    traits.read(UnsafeBufferPointer(rebasing: bytes[start..<end])) { words.add($0) }
                }
                for hash in [traits.numbers, traits.operators] {
                    for shift in stride(from: 0, to: 64, by: 8) {
                        marks.append(Int8(truncatingIfNeeded: hash >> UInt64(shift)))
                    }
                }
                words.append(to: &marks)
                start = end
            }
        }
        block.write(.textMarks, .vectors(VectorColumn(dimension: TextMarks.bytes, values: marks)))
    }
}

/// The texts of a group's records, as far as they are compared.
struct TextMarks {
    private let rule: Confirmation
    /// The two hashes of each row.
    private var hashes: [UInt64] = []
    private let marks: any VectorSource

    static let bytes = 16 + WordPairs.bytes
    /// Bytes for each row, apart from the column.
    static let perRow = 16

    /// Cost: one pass over the column.
    init(_ rule: Confirmation, _ group: Group) throws(StageError) {
        self.rule = rule
        marks = try group.vectors(.textMarks)
        hashes.reserveCapacity(2 * group.count)
        try marks.forEachChunk { (range, values) throws(StageError) in
            for row in 0..<range.count {
                for hash in 0..<2 {
                    let from = row * Self.bytes + 8 * hash
                    hashes.append(
                        (0..<8).reduce(UInt64(0)) {
                            $0 | UInt64(UInt8(bitPattern: values[from + $1])) << UInt64(8 * $1)
                        })
                }
            }
        }
    }

    /// Whether two rows agree in all that must be equal, and overlap enough.
    func confirm(_ a: Int, _ b: Int) throws(StageError) -> Bool {
        if rule.numbersAreEqual, hashes[2 * a] != hashes[2 * b] { return false }
        if rule.operatorsAreEqual, hashes[2 * a + 1] != hashes[2 * b + 1] { return false }
        guard rule.overlap > 0 else { return true }
        let overlap = try overlap(a, b)
        return 1000 * overlap.common >= rule.overlap * overlap.of
    }

    /// The share of their pairs of words that two rows have in common.
    func share(_ a: Int, _ b: Int) throws(StageError) -> Double {
        let overlap = try overlap(a, b)
        return Double(overlap.common) / Double(overlap.of)
    }

    private func overlap(_ a: Int, _ b: Int) throws(StageError) -> (common: Int, of: Int) {
        if let all = marks.resident?.baseAddress {
            return WordPairs.overlap(all + a * Self.bytes + 16, all + b * Self.bytes + 16)
        }
        let (first, second) = (try marks.row(a), try marks.row(b))
        return first.withUnsafeBufferPointer { first in
            second.withUnsafeBufferPointer { second in
                guard let a = first.baseAddress, let b = second.baseAddress else { return (1, 1) }
                return WordPairs.overlap(a + 16, b + 16)
            }
        }
    }
}
