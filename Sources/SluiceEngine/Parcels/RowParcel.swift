import SluiceCore

/// Some rows of a column store in a pass over them.
final class RowParcel: Parcel {
    let rows: Range<Int>
    let shard: ColumnStore.Shard
    /// Whether a stopped pass has done the transforms.
    let isDone: Bool
    /// Whether it is a single record larger than a parcel may be.
    let isLong: Bool
    /// Live rows, counted from the start of `rows`.
    var live: [Int] = []
    /// The records, while they are in the transforms.
    var block: Block?
    var progress = TransformChain.Progress()
    /// Whether it has passed the transforms and the survey.
    var isFinished = false

    init(_ batch: RowBatches.Batch, of shard: ColumnStore.Shard, isDone: Bool) {
        rows = batch.rows
        isLong = batch.isLong
        self.shard = shard
        self.isDone = isDone
    }

    var endsShard: Bool { rows.upperBound == shard.rows.upperBound }

    /// The rows of the store that this pass dropped.
    var gone: some Sequence<Int> { losses.lazy.map { [rows, live] in rows.lowerBound + live[$0.0] } }
}
