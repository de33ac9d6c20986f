/// Asks something outside about each record, and uses the answers: a model behind a server, another program's service.
///
/// The engine makes the questions of a block, asks them on light threads of its own, many at a time, and applies the
/// answers to the block. Threads that wait for an answer hold no worker. Calls block, since every client library can do
/// that; a client with `async` functions is bridged by a semaphore.
///
/// Every answer is on disk before it is used: in the answer log of the run, under a key of the stage and the question.
/// A question with an answer in the log is not asked again, in this run, a resumed one or a repeated one. So the result
/// is the same for the same log, whatever the server would say today. Equal questions are asked once.
///
/// A stage of this kind has a pass of its own over the kept columns: the whole input has been read and checked before
/// the first question.
///
/// An asking transform whose requests share nothing; see `AskingWorkerTransform` for connections that are kept, and
/// `AskingBatchTransform` for requests with several questions.
public protocol AskingTransform: AskingWorkerTransform where Worker == Void {
    /// Asks one question, and returns when the answer is there. Called by many threads at the same time.
    ///
    /// Repeats a request that failed as often as makes sense. Returns soon after `context.isStopped`, with the answer
    /// or an error.
    ///
    /// - Throws: an error ends the run. Answers that came before it are in the log.
    func ask(_ question: [UInt8], _ context: StageContext) throws(StageError) -> [UInt8]
}

/// An asking transform whose threads keep something from request to request: a connection, a client, buffers.
public protocol AskingWorkerTransform: AskingBatchTransform {
    /// Asks one question; see `AskingTransform.ask(_:_:)`. One thread uses a worker at a time; any question may come to
    /// any worker.
    func ask(
        _ question: [UInt8], with worker: inout Worker, _ context: StageContext
    ) throws(StageError) -> [UInt8]
}

/// An asking transform whose requests may hold several questions: the general form of all of them.
///
/// The engine fills batches with questions of any blocks, in no fixed order, and sends a smaller one rather than let a
/// thread wait for more. So an answer must not depend on the questions beside it.
public protocol AskingBatchTransform: HoldsMemory, PlanNotes, Sendable {
    associatedtype Worker = Void

    /// The most requests in flight, from 1 to 4,096. Does not depend on the number of threads.
    var width: Int { get }

    /// The most questions in a request.
    var batch: AskingBatch { get }

    /// What an answer depends on beside its question, by name: the model, its version, the temperature.
    ///
    /// Answers are kept under it. nil, the default, stands for all options of the stage, the content of the files that
    /// they name, and what `Stage.identity()` returns. Return less where another value of an option, such as the width
    /// or a time limit, is no reason to ask again.
    var source: [String: String]? { get }

    /// The memory that requests need. Asked before anything is read; a run without room for it is refused.
    ///
    /// Follows from the options and the context's columns alone.
    func memory(_ context: StageContext) -> AskingMemory

    /// The question about a record; nil if there is nothing to ask. Follows from the record alone, and is never about a
    /// dropped one.
    func question(_ record: Int, of block: borrowing Block) throws(StageError) -> [UInt8]?

    /// Makes what a thread keeps from request to request: at most one per request in flight.
    func makeWorker(_ context: StageContext) throws(StageError) -> Worker

    /// Asks a batch of different questions, and returns when answers are there. Called by many threads at the same time,
    /// each with a worker of its own; any question may come to any worker.
    ///
    /// Repeats a request that failed as often as makes sense. Returns soon after `context.isStopped`, with answers or
    /// an error. If only some of the questions fit a request, return the answers to these: they are then in the log
    /// before the others are asked.
    ///
    /// - Parameter questions: at least one, within the limits of `batch`.
    /// - Returns: the answers to the first questions, in their order, at least one. The others are asked again.
    /// - Throws: an error ends the run. Answers that came before it are in the log.
    func ask(
        _ questions: [[UInt8]], with worker: inout Worker, _ context: StageContext
    ) throws(StageError) -> [[UInt8]]

    /// Uses the answers: may write the declared columns and drop records. Follows from the answers and the block alone,
    /// so an answer that makes no sense is dropped or marked here, not in `ask`.
    func apply(_ answers: Answers, to block: inout Block) throws(StageError)

    /// Closes a worker: called once for each worker, after its last request.
    func close(_ worker: inout Worker) throws(StageError)
}

extension AskingBatchTransform {
    public var source: [String: String]? { nil }
    public func memory(_ context: StageContext) -> AskingMemory { AskingMemory() }
    public func close(_ worker: inout Worker) throws(StageError) {}

    /// `width` within its limits.
    package var requests: Int { min(max(1, width), 4096) }
}

extension AskingWorkerTransform {
    public var batch: AskingBatch { .one }

    public func ask(
        _ questions: [[UInt8]], with worker: inout Worker, _ context: StageContext
    ) throws(StageError) -> [[UInt8]] {
        var answers: [[UInt8]] = []
        for question in questions.prefix(1) { answers.append(try ask(question, with: &worker, context)) }
        return answers
    }
}

extension AskingTransform {
    public func makeWorker(_ context: StageContext) throws(StageError) {}

    public func ask(
        _ question: [UInt8], with worker: inout Void, _ context: StageContext
    ) throws(StageError) -> [UInt8] { try ask(question, context) }
}

/// Limits of a request with several questions.
public struct AskingBatch: Sendable, Hashable {
    /// The most questions, from 1 to 4,096.
    public let questions: Int
    /// The most bytes of all of them; a longer question is alone.
    public let bytes: Int

    /// One question a request.
    public static let one = AskingBatch(questions: 1, bytes: .max)

    public init(questions: Int, bytes: Int) {
        self.questions = min(max(1, questions), 4096)
        self.bytes = max(1, bytes)
    }

    /// Whether a question more has room beside others.
    package func hasRoom(beside count: Int, bytes used: Int, for more: Int) -> Bool {
        count == 0 || (count < questions && used <= bytes && more <= bytes - used)
    }
}

/// The answers about the records of a block.
public struct Answers: Sendable, Hashable {
    private let all: [[UInt8]?]

    /// - Parameter answers: one entry for each record of the block; nil where nothing was asked.
    public init(_ answers: [[UInt8]?]) { all = answers }

    /// The number of records of the block.
    public var count: Int { all.count }

    /// The answer about a record; nil if nothing was asked about it.
    public subscript(record: Int) -> [UInt8]? { all[record] }
}

/// Memory that an asking transform declares, in bytes. The engine leases it for all requests in flight, and makes its
/// blocks small enough for their questions and answers.
public struct AskingMemory: Sendable, Hashable {
    /// The longest answer; a longer one ends the run.
    public var longestAnswer: Int
    /// The longest question, without what it takes from the record: the prompt around it.
    public var prompt: Int
    /// What a request takes beside its questions and answers: a connection, the buffers of a client.
    public var perRequest: Int
    /// The stack of a thread that asks; at least 64 KiB. Encryption takes more.
    public var stack: Int
    /// Bytes of the question, and of columns written beside the answer, for each byte read of the record. It decides
    /// which records are so long that they are processed one at a time.
    public var growth: Int

    public static let leastStack = 64 << 10

    public init(
        longestAnswer: Int = 16 << 10, prompt: Int = 4 << 10, perRequest: Int = 64 << 10, stack: Int = 256 << 10,
        growth: Int = 1
    ) {
        self.longestAnswer = max(0, longestAnswer)
        self.prompt = max(0, prompt)
        self.perRequest = max(0, perRequest)
        self.stack = max(Self.leastStack, stack)
        self.growth = max(0, growth)
    }

    /// What one request in flight takes.
    package func inFlight(_ batch: AskingBatch) -> Int {
        stack + perRequest + batch.questions * (prompt + longestAnswer)
    }
    /// What a record takes in a block beside its own bytes: the question, the answer, and a column with the answer.
    package var perRecord: Int { prompt + 2 * longestAnswer }
}
