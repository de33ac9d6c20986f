import SluiceCore
import SluiceIO

/// The requests that a pass over kept columns has in flight, and the memory that they take.
package struct Requests: Sendable {
    /// The most requests of all steps.
    package private(set) var width = 0
    /// Bytes of all of them: stacks, clients, questions and answers.
    private var inFlight = 0
    /// What a record takes in a block beside its own bytes.
    private(set) var perRecord = 0
    /// The answers for which the index of the log has room. Counted when the pass begins.
    package var answers = Self.fewestAnswers

    /// What a plan reserves, as it does not know how many there are: 64,000 take 0.7 MiB.
    private static let fewestAnswers = 64_000

    package init() {}

    init(_ asking: any AskingBatchTransform, _ context: StageContext) {
        self.init(width: asking.requests, asking.memory(context), asking.batch)
    }

    init(width: Int, _ memory: AskingMemory, _ batch: AskingBatch = .one) {
        self.width = width
        inFlight = width * memory.inFlight(batch)
        perRecord = memory.perRecord
    }

    /// Adds those of another step of the same pass.
    mutating func add(_ other: Requests) {
        width += other.width
        inFlight += other.inFlight
        perRecord += other.perRecord
    }

    /// The most records of a block.
    var rows: Int { perRecord > 0 ? max(1, perBlock / perRecord) : .max }

    /// What the questions and answers of a block take: half of what the block takes, but at least those of one record.
    var perBlock: Int { perRecord > 0 ? max(MemoryShares.perBlock / 2, perRecord) : 0 }

    /// The memory of the requests, the index, and the questions and answers of four blocks.
    var parts: [MemoryShares.Part] {
        guard width > 0 else { return [] }
        return [
            MemoryShares.Part(name: "\(MemoryShares.count(width, "request")) in flight", bytes: inFlight),
            MemoryShares.Part(name: "the index of the answer log", bytes: AnswerLog.indexBytes(answers)),
        ] + parts(of: 4)
    }

    /// The memory of the questions and answers of some blocks.
    func parts(of blocks: Int) -> [MemoryShares.Part] {
        guard perBlock > 0, blocks > 0 else { return [] }
        return [
            MemoryShares.Part(
                name: "questions and answers of \(MemoryShares.count(blocks, "block"))", bytes: blocks * perBlock)
        ]
    }

    /// The sum of `parts`.
    var least: Int { parts.reduce(0) { $0 + $1.bytes } }
}
