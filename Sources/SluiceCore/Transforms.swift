/// Processes one block at a time and keeps nothing between blocks.
///
/// Blocks come in any order, several at the same time, and more than once after a stopped run: `apply` must give the
/// same result for a record in any block. An error ends the run.
///
/// A transform that needs tables, a model, a process or a connection keeps them in a worker: see `WorkerTransform`.
public protocol Transform: WorkerTransform where Worker == Void {
    /// May write the declared columns and drop records.
    func apply(to block: inout Block) throws(StageError)
}

/// Processes one block at a time with a worker: tables, a mapped model, a child process, a connection.
///
/// The engine makes a worker when a thread first needs one, at most one per thread. Only one thread uses a worker at a
/// time. The engine closes it when the pass ends, also after an error or a stop. A worker may save work but must not
/// change a result: any block may come to any worker.
public protocol WorkerTransform: HoldsMemory, PlanNotes, Sendable {
    associatedtype Worker = Void

    /// The memory that the transform needs while it runs. Asked before anything is read; a run without room for it is
    /// refused.
    ///
    /// Follows from the options and the context's columns alone.
    func memory(_ context: StageContext) -> TransformMemory

    /// Makes the state that a thread keeps from block to block.
    func makeWorker(_ context: StageContext) throws(StageError) -> Worker

    /// May write the declared columns and drop records.
    func apply(to block: inout Block, with worker: inout Worker) throws(StageError)

    /// Closes a worker: called once for each worker, after its last block.
    func close(_ worker: inout Worker) throws(StageError)
}

extension WorkerTransform {
    public func memory(_ context: StageContext) -> TransformMemory { TransformMemory() }
    public func close(_ worker: inout Worker) throws(StageError) {}
}

extension Transform {
    public func makeWorker(_ context: StageContext) throws(StageError) {}
    public func apply(to block: inout Block, with worker: inout Void) throws(StageError) { try apply(to: &block) }
}

/// A transform that is one function.
private struct BlockFunction: Transform {
    let function: @Sendable (inout Block) throws(StageError) -> Void

    func apply(to block: inout Block) throws(StageError) { try function(&block) }
}

extension StageBody {
    /// A transform that is one function, such as what follows from a survey. See `Transform.apply(to:)`.
    public static func applying(
        _ function: @escaping @Sendable (inout Block) throws(StageError) -> Void
    ) -> StageBody { .transform(BlockFunction(function: function)) }
}

/// Memory that a transform declares, in bytes.
public struct TransformMemory: Sendable, Hashable {
    /// A worker at its largest, plus what `apply` needs in addition to the block and the columns that it writes.
    public var perThread: Int
    /// Bytes written for each byte read, if the transform writes a column of bytes: a template that names one field
    /// four times writes four. It decides which records are so long that they are processed one at a time.
    public var growth: Int

    public init(perThread: Int = 0, growth: Int = 1) {
        self.perThread = max(0, perThread)
        self.growth = max(0, growth)
    }
}

/// Work that may hold memory for its whole lifetime: centroids, a table, a mapped model.
public protocol HoldsMemory {
    /// Bytes held from creation to release, mapped files included. They are leased all that time.
    var residentBytes: Int { get }
}

extension HoldsMemory {
    public var residentBytes: Int { 0 }
}

extension StageBody {
    /// The sum over all parts.
    public var residentBytes: Int {
        switch self {
        case .transform(let transform): transform.residentBytes
        case .asking(let asking): asking.residentBytes
        case .survey(let survey): survey.residentBytes
        case .selection(let selection): selection.residentBytes
        case .sequence(let bodies): bodies.reduce(0) { $0 + $1.residentBytes }
        }
    }
}
