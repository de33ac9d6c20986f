import SluiceCore

/// What is kept of each record for the work that comes after a pass: every column and field once, however many stages and
/// outputs ask for it.
struct ColumnRetention: Sendable {
    /// The columns of stages, sorted, each once.
    let columns: [ColumnName]
    /// The fields of the record, sorted, each once.
    let fields: [FieldPath]
    let keepsRecord: Bool

    /// - Parameters:
    ///   - columns: those that the output and later stages read, in any order, repeated or not.
    ///   - inputs: what later stages read, likewise.
    init(columns: some Sequence<ColumnName>, inputs: [Input]) {
        self.columns = Set(columns).sorted()
        fields = Set(inputs.compactMap { if case .field(let path) = $0 { path } else { nil } }).sorted()
        keepsRecord = inputs.contains(.record)
    }
}

extension StageChain {
    /// What the work from stage `index` on needs of each record.
    ///
    /// - Parameter picks: the columns that `picks.jsonl.zst` lists.
    func retention(from index: Int, output: OutputSpec, picks: [ColumnName]) -> ColumnRetention {
        ColumnRetention(
            columns: wanted(from: index, output: output) + picks,
            inputs: links.filter { $0.index >= index }.flatMap(\.stage.reads))
    }
}

extension Array where Element: Hashable {
    /// The first element that is equal to one before it.
    var firstRepeated: Element? {
        var seen: Set<Element> = []
        return first { !seen.insert($0).inserted }
    }
}
