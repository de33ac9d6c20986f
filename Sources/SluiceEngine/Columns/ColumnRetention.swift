import SluiceCore

/// The columns and fields of each record that are kept for the work after a pass: each once, however many stages and
/// outputs read it.
struct ColumnRetention: Sendable {
    /// Columns written by stages, sorted, each once.
    let columns: [ColumnName]
    /// Fields of the record, sorted, each once.
    let fields: [FieldPath]
    let keepsRecord: Bool

    /// - Parameters:
    ///   - columns: the columns that the output and later stages read, in any order, repeated or not.
    ///   - inputs: the inputs of later stages, likewise.
    init(columns: some Sequence<ColumnName>, inputs: [Input]) {
        self.columns = Set(columns).sorted()
        fields = Set(inputs.compactMap { if case .field(let path) = $0 { path } else { nil } }).sorted()
        keepsRecord = inputs.contains(.record)
    }
}

extension StageChain {
    /// What the work from stage `index` on reads of each record.
    ///
    /// - Parameters:
    ///   - later: the work over kept columns; see `inputs`.
    ///   - picks: the columns listed in `picks.jsonl.zst`.
    func retention(
        from index: Int, unfinished: Set<Int>? = nil, later: [StageWork], output: OutputSpec, picks: [ColumnName]
    ) -> ColumnRetention {
        ColumnRetention(
            columns: wanted(from: index, output: output, unfinished: unfinished, later: later) + picks,
            inputs: inputs(from: index, later: later))
    }
}

extension Array where Element: Hashable {
    /// The first element that equals an earlier one.
    var firstRepeated: Element? {
        var seen: Set<Element> = []
        return first { !seen.insert($0).inserted }
    }
}
