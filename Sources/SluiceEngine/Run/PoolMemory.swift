import SluiceCore

/// What is wanted of the pool of a finished run.
struct PoolRequest {
    /// The most records of the pool to keep.
    let sample: Int
    let label: FieldPath?
    /// The fewest threads to use if memory is short, and the most.
    let threads: ClosedRange<Int>
    /// Bytes of vectors that the caller holds in addition.
    let held: Int
    /// Bytes that the caller then needs beside the vectors.
    let figures: (_ sample: Int, _ dimension: Int) -> Int
}

/// The memory for the vectors of a finished run, checked before anything is read.
struct PoolMemory {
    /// The most threads for which there is memory.
    let threads: Int
    /// The definition with the memory for reading, without that for the vectors.
    let reading: Definition

    /// - Parameter definition: the stages that make the vectors, with the budget of the process.
    /// - Throws: `EngineError` with code `.resources` and the amount that is enough, for the fewest threads.
    init(
        _ run: RunReader, _ definition: Definition, _ chain: StageChain, _ column: ColumnName, _ request: PoolRequest
    ) throws(EngineError) {
        let threads = request.threads
        guard case .vector(let dimension)? = chain.written.last(where: { $0.name == column })?.type else {
            throw EngineError(.fault, "\(run.path): `\(column)` has no dimension")
        }
        let counts = run.manifest["counts"]
        let records = min(request.sample, counts?["read"]?.integerValue ?? 0)
        let vectors =
            RunVectors.vectorBytes(sample: records, kept: counts?["kept"]?.integerValue ?? 0, dimension: dimension)
            + 2 * request.held
        // The label is a copy of a field, which may be as long as a record.
        let beside = vectors + (request.label != nil ? definition.input.maxRecord : 0)
        // The figures are computed after the reading, on all threads.
        let after = MemoryShares.reading(threads: threads.upperBound) + vectors + request.figures(records, dimension)
        func need(_ threads: Int) throws(EngineError) -> Int {
            max(after, beside + (try chain.smallestBudget(definition, threads: threads)))
        }
        var count = threads.upperBound
        var needed = try need(count)
        while needed > definition.memory, count > threads.lowerBound {
            count = max(threads.lowerBound, count / 2)
            needed = try need(count)
        }
        guard needed <= definition.memory else {
            let (words, there) = MemorySize.describe(needed, beside: definition.memory)
            let smaller = records > 2 ? ", or take a smaller sample of the pool" : ""
            throw EngineError(
                .resources,
                "\(run.path): computing its vectors again needs \(words), but `memory` is \(there); give --memory \(MemorySize.spell(needed))\(smaller)"
            )
        }
        self.threads = count
        var reading = definition
        reading.memory -= beside
        self.reading = reading
    }
}
