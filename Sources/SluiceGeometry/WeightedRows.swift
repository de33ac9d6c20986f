import CVectorKernels

/// Weighted sums of rows of a table of Int8, in exact integers: the projection of a sparse vector.
public enum WeightedRows {
    /// `out[j] += Σ weights[t] · table[rows[t] · dimension + j]` over `count` rows.
    ///
    /// The order of the rows does not matter: sums are Int64, which suffice for 2^41 rows. Cost: one read of each row, with
    /// two multiply-adds of Int16 an instruction lane.
    ///
    /// - Parameter scratch: room for `dimension` numbers.
    public static func add(
        _ table: UnsafePointer<Int8>, dimension: Int, rows: UnsafePointer<UInt32>, weights: UnsafePointer<Int16>,
        count: Int, into out: UnsafeMutablePointer<Int64>, scratch: UnsafeMutablePointer<Int32>
    ) {
        let kernels = svk_current()
        let most = Int(SVK_WEIGHTED_ROWS)
        for start in stride(from: 0, to: count, by: most) {
            scratch.update(repeating: 0, count: dimension)
            kernels.pointee.weighted(
                table, rows + start, weights + start, min(most, count - start), dimension, scratch)
            for index in 0..<dimension { out[index] &+= Int64(scratch[index]) }
        }
    }
}
