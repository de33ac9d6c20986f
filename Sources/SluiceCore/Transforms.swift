/// Looks at one block at a time, and keeps nothing between blocks.
///
/// Blocks come in any order, several at a time, and more than once after a stopped run: `apply` must give the same for
/// a record whatever block it stands in. What it throws ends the run.
///
/// A transform that needs tables, a model, a process or a connection keeps them in a worker: see `WorkerTransform`.
public protocol Transform: WorkerTransform where Worker == Void {
    /// May write the declared columns and drop records.
    func apply(to block: inout Block) throws(StageError)
}

/// Looks at one block at a time with the help of a worker: tables, a mapped model, a child process, a connection.
///
/// The engine makes a worker when a thread first needs one, at most one a thread; it gives it to one thread at a time,
/// block after block, and closes it when the pass ends, also after an error or a stop. A worker may save work; it must
/// not change a result: any block may come to any worker.
public protocol WorkerTransform: HoldsMemory, PlanNotes, Sendable {
    associatedtype Worker = Void

    /// What the transform takes while it runs, asked before anything is read: a run without room for it is refused then.
    ///
    /// Follows from the options and the context's columns alone.
    func memory(_ context: StageContext) -> TransformMemory

    /// Makes what a thread keeps from block to block.
    func makeWorker(_ context: StageContext) throws(StageError) -> Worker

    /// May write the declared columns and drop records.
    func apply(to block: inout Block, with worker: inout Worker) throws(StageError)

    /// Ends a worker: called once for each one that was made, after its last block.
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

/// Memory that a transform declares, in bytes.
public struct TransformMemory: Sendable, Hashable {
    /// A worker at its largest, with what `apply` needs beside the block and the columns that it writes.
    public var perThread: Int
    /// Bytes that are written for each byte that is read, where the transform writes a column of bytes: a template that
    /// names one field four times writes four. Long records are handed over one at a time by this.
    public var growth: Int

    public init(perThread: Int = 0, growth: Int = 1) {
        self.perThread = max(0, perThread)
        self.growth = max(0, growth)
    }
}

/// Work that may hold memory for as long as it lives: centroids, a table, a mapped model.
public protocol HoldsMemory {
    /// Bytes that are held from when the work is made until it is let go, mapped files included. They are in a lease all that time.
    var residentBytes: Int { get }
}

extension HoldsMemory {
    public var residentBytes: Int { 0 }
}

extension StageBody {
    /// What all its parts hold.
    public var residentBytes: Int {
        switch self {
        case .transform(let transform): transform.residentBytes
        case .survey(let survey): survey.residentBytes
        case .selection(let selection): selection.residentBytes
        case .sequence(let bodies): bodies.reduce(0) { $0 + $1.residentBytes }
        }
    }
}
