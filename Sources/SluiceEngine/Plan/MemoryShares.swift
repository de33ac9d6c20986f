package import SluiceCore
import SluiceIO

/// How the memory of a run is shared out, before anything is read.
///
/// Phases follow each other, so a share is used again by the next phase. In each phase what can't be done without comes first; what is left
/// goes to what more memory makes faster. So a budget that suffices stays sufficient when it is raised, and the smallest one is known.
package struct MemoryShares: Sendable {
    /// The program itself: code and data that are mapped, stacks, what the C library keeps back.
    package static let program = 40 << 20
    /// A block under way: its bytes, what is made of them, and the frames they are packed into.
    package static let perBlock = 3 << 20
    /// What the columns that a block gets while it is read add to it, for each byte of a row beyond 512: lines have half a KiB, and values are
    /// there twice while rows leave.
    static let perBlockWidth = 2 << 10
    /// Compression and parsing contexts of a thread.
    package static let perThread = 6 << 20
    /// An input that is open: its buffers.
    package static let perStream = 4 << 20
    /// A frame that is unpacked ahead of the reader, packed and unpacked.
    static let perFrameAhead = 3 << 20
    /// What `perThread` has for a compressor; those of high levels take more.
    private static let usualCompressor = 2 << 20
    /// Part of the budget that nobody gets: pieces that the C library holds back, and a few bits a record.
    static let spareDivisor = 16

    /// Windows up to this size are always unpacked, in each input that is open.
    static let leastWindowLog = 23
    static let leastWindow = 1 << leastWindowLog
    private static let leastDedupe = 1 << 20
    private static let leastLedger = 1 << 20

    /// Some memory and what it is for.
    package struct Part: Sendable, Hashable {
        package let name: String
        package let bytes: Int
    }

    /// What a stage says before anything is read.
    package struct Need: Sendable {
        package enum Kind: Sendable {
            case transform(TransformMemory)
            case survey(SurveyMemory)
            /// Bytes that no group can do without.
            case selection(Int)
        }

        package let stage: String
        package let kind: Kind
        /// What its work holds from the beginning of the run to its end.
        package let resident: Int

        package init(stage: String, kind: Kind, resident: Int = 0) {
            self.stage = stage
            self.kind = kind
            self.resident = resident
        }

        /// What it can't do without, beside its workers.
        var least: Int {
            switch kind {
            case .transform: 0
            case .survey(let memory): memory.least
            case .selection(let bytes): bytes
            }
        }

        /// What a worker of it takes.
        var perThread: Int { if case .transform(let memory) = kind { memory.perThread } else { 0 } }
        /// What it leaves to the work after it.
        var leaves: Int { if case .survey(let memory) = kind { memory.leaves } else { 0 } }
    }

    /// What a pass can't do without.
    private struct Load {
        /// Whose pass it is; nil for reading.
        let need: Need?
        /// What the stage itself takes.
        let own: Int
        /// That and what no such pass does without.
        let bytes: Int
    }

    /// What reading takes whatever is read: the program, its threads, and as many blocks under way as they keep busy.
    package static func reading(threads: Int) -> Int {
        program + threads * perThread + max(4, 2 * threads + 2) * perBlock
    }

    package let total: Int
    package let threads: Int
    /// Blocks that may be under way at a time.
    package let blocks: Int
    /// Inputs that may be open at a time.
    package let streams: Int
    /// Frames of an input that are unpacked ahead of the reader, in bytes; 0 where none are.
    let readAhead: Int
    /// The largest zstd window that is unpacked, in one input at a time.
    package let window: Int
    /// Long records that are under way, and what each of them takes.
    let long: Int
    let copies: RecordCopies
    /// Compressors of the kept records that may be at work at a time, and what each takes beside its thread's share.
    let compressors: Int
    private let compressor: Int
    /// The table of the dedupe; 0 without one.
    package let dedupe: Int
    /// A selection's own state, and the columns of the groups it works on.
    package let stage: Int
    /// Vectors of the groups that are worked on at a time, where a selection can also read them in passes: more of
    /// them in memory would gain little, since the system keeps the work files in memory that nobody else wants.
    package let resident: Int
    /// Ledger lines that wait to be sorted; 0 where they go straight to the output.
    package let ledger: Int
    /// What the parts of a phase have in all.
    private let room: Int
    private let definition: Definition
    private let inputs: Int
    /// Bytes of a row's vectors.
    private let width: Int
    private let uses: RecordCopies.Uses
    /// What reading can't do without.
    private let leastReading: Int
    /// A block in the pass that makes the columns.
    private let readingBlock: Int
    private let needs: [Need]
    private let loads: [Load]
    /// What the work that is known now holds as long as the run lasts.
    private let held: Int
    /// Workers of the transforms that run while the input is read.
    private let readingWorkers: Int

    /// - Parameters:
    ///   - inputs: files that will be read, where that is known.
    ///   - width: bytes of the vectors that stages write, a row.
    ///   - needs: of all pieces of work, as far as they are known.
    /// - Throws: `EngineError` with code `.resources`: who asks for how much, what is there, and the smallest budget that would do.
    package init(
        _ definition: Definition, threads: Int, inputs: Int = .max, width: Int = 0,
        uses: RecordCopies.Uses = RecordCopies.Uses(), needs: [Need] = []
    ) throws(EngineError) {
        self.init(
            definition, total: definition.memory, threads: threads, inputs: inputs, width: width, uses: uses,
            needs: needs)
        guard !fits else { return }
        throw refusal(least: smallest)
    }

    /// For callers that only read the input and account for their other memory themselves.
    init(reading definition: Definition, threads: Int) {
        self.init(
            definition, total: definition.memory, threads: threads, inputs: .max, width: 0,
            uses: RecordCopies.Uses(), needs: [])
    }

    /// The shares of a budget that may not suffice: see `fits`.
    init(
        _ definition: Definition, total: Int, threads: Int, inputs: Int, width: Int, uses: RecordCopies.Uses,
        needs: [Need]
    ) {
        self.uses = uses
        self.total = total
        self.threads = threads
        self.inputs = inputs
        self.width = width
        readingBlock = Self.perBlock + Self.perBlockWidth * max(0, width - 512)
        self.definition = definition
        self.needs = needs
        held = needs.reduce(0) { $0 + $1.resident }
        room = total - total / Self.spareDivisor - Self.program - threads * Self.perThread - held
        let loads = Self.loads(needs, threads: threads)
        readingWorkers = loads.first?.bytes ?? 0
        self.loads = Array(loads.dropFirst())
        copies = RecordCopies(definition, uses)
        let keeps = needs.contains { !$0.isTransform }
        let (isDeduped, isPlain) = (definition.input.dedupe != nil, definition.stages.isEmpty)
        let output = definition.output
        compressor =
            output.compression == .zstd
            ? max(0, FrameCompressor.memory(level: output.level) - Self.usualCompressor) : 0
        leastReading =
            4 * readingBlock + readingWorkers + Self.perStream + Self.leastWindow + copies.most + compressor
            + (isDeduped ? Self.leastDedupe : 0) + (keeps ? Self.leastLedger : 0)
        // What no part can do without comes first; each takes a part of what is beyond.
        let beyond = max(0, room - leastReading)
        // More blocks mean more reading ahead.
        let most = max(4, 2 * threads + 2)
        blocks = min(most, 4 + beyond / 4 / readingBlock)
        streams = max(1, min(threads, inputs, 1 + beyond / 8 / (Self.perStream + Self.leastWindow)))
        // With few threads unpacking is never what the others wait for.
        let ahead = threads >= 4 ? (min(4, threads / 2) + 1) * Self.perFrameAhead : 0
        readAhead = min(ahead, beyond / 8 / streams)
        compressors = compressor > 0 ? min(threads, 1 + beyond / 4 / compressor) : threads
        long = copies.most + min((threads - 1) * copies.most, beyond / 8)
        let used =
            (blocks - 4) * readingBlock + (streams - 1) * (Self.perStream + Self.leastWindow) + streams * readAhead
            + max(0, compressors - 1) * compressor + long - copies.most
        let rest = max(0, room - blocks * Self.perBlock - streams * (Self.perStream + readAhead))
        let restOfReading =
            max(0, beyond - used) + Self.leastWindow + (isDeduped ? Self.leastDedupe : 0)
            + (keeps ? Self.leastLedger : 0)
        stage = rest * 3 / 8
        resident = rest / 6
        ledger = keeps ? Self.ledger(rest: restOfReading, room: room, self.loads) : 0
        // A plain dedupe may fill the rest with its table. Before stages it spills early instead: the extra pass costs
        // little beside them, and the peak does not grow with the input.
        dedupe =
            isDeduped
            ? min(
                restOfReading * (isPlain ? 3 : 1) / 4,
                max(Self.leastDedupe, restOfReading - ledger - Self.leastWindow)) : 0
        // What zstd --long makes is 128 MiB.
        let free = min(128 << 20, max(Self.leastWindow, total / 4), restOfReading - dedupe - ledger)
        window = max(Self.leastWindow, free < 1 ? 0 : 1 << (Int.bitWidth - 1 - free.leadingZeroBitCount))
    }

    /// A twelfth of what there is, and no more than every stage can spare.
    private static func ledger(rest: Int, room: Int, _ loads: [Load]) -> Int {
        let spared = loads.map { room - $0.bytes }.min() ?? room
        return max(leastLedger, min(32 << 20, rest / 12, spared))
    }

    /// What each pass takes at least beside ledger lines: first the workers of the pass that reads, then every pass over kept columns.
    private static func loads(_ needs: [Need], threads: Int) -> [Load] {
        let blocks = 4 * perBlock
        let first = needs.prefix { $0.isTransform }
        let reading = first.reduce(0) { $0 + $1.perThread * threads }
        var loads = [Load(need: nil, own: reading, bytes: reading)]
        // The workers of the pass that comes next, and what the survey before it left.
        var (workers, left) = (0, 0)
        for need in needs.dropFirst(first.count) {
            workers += need.perThread * threads
            switch need.kind {
            case .transform:
                loads.append(Load(need: need, own: workers + left, bytes: blocks + workers + left))
            case .survey(let memory):
                let own = workers + left + memory.least
                loads.append(Load(need: need, own: own, bytes: blocks + own))
                (workers, left) = (0, memory.leaves)
            case .selection(let bytes):
                loads.append(Load(need: need, own: left + bytes, bytes: left + bytes))
                (workers, left) = (0, 0)
            }
        }
        return loads
    }

    var fits: Bool { missing.bytes <= 0 }

    /// The phase that lacks most, and how much; nothing is lacking where that is not above 0.
    private var missing: (load: Load?, bytes: Int) {
        var worst: (load: Load?, bytes: Int) = (nil, leastReading - room)
        for load in loads {
            let bytes = load.bytes + Self.leastLedger - room
            if bytes > max(0, worst.bytes) { worst = (load, bytes) }
        }
        return worst
    }

    /// - Parameter least: the smallest budget that would do.
    func refusal(least: Int) -> EngineError {
        let worst = missing
        guard let load = worst.load, let need = load.need else {
            // A quarter of the room is a share that leaves the other parts theirs.
            let advice =
                copies.most > room / 4
                ? ", of which records of up to `max_record: \(MemorySize.spell(copies.longest))` take \(MemorySize.describe(copies.most))"
                : ""
            return EngineError(
                .resources,
                "`memory: \(MemorySize.describe(total))` does not suffice for \(Self.count(threads, "thread")); the smallest budget that would do is \(MemorySize.spell(least))\(advice)"
            )
        }
        // What a stage advises goes by the memory that it could get, and there is none where reading has too little.
        var advice: String?
        if case .survey(let memory) = need.kind, leastReading <= room { advice = memory.advice }
        return refusal(
            need.stage, "", needs: load.own, share: load.own - worst.bytes, least: least, advice: advice)
    }

    private func refusal(
        _ stage: String, _ purpose: String, needs bytes: Int, share: Int, least: Int, advice: String?
    ) -> EngineError {
        EngineError(
            .resources,
            "stage `\(stage)` needs \(MemorySize.describe(bytes))\(purpose) and its share of `memory: \(MemorySize.describe(total))` is \(MemorySize.describe(max(0, share))); the smallest budget that would do is \(MemorySize.spell(least))\(advice.map { ", or \($0)" } ?? "")"
        )
    }

    /// The least whole number of MiB whose shares are good, where all above good ones are.
    private func smallest(_ isGood: (MemoryShares) -> Bool) -> Int {
        Self.smallest { size in
            isGood(
                MemoryShares(
                    definition, total: size, threads: threads, inputs: inputs, width: width, uses: uses, needs: needs))
        }
    }

    /// The least whole number of MiB, in bytes, that is good, where all above good ones are.
    static func smallest<E>(_ isGood: (_ total: Int) throws(E) -> Bool) throws(E) -> Int {
        var (low, high) = (0, 1)
        while high < 1 << 40, try !isGood(high << 20) { (low, high) = (high, high * 2) }
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if try isGood(middle << 20) { high = middle } else { low = middle }
        }
        return high << 20
    }

    /// The smallest budget that would do for what is known.
    package var smallest: Int { smallest { $0.fits } }

    /// The smallest budget that unpacks a zstd window of so many bytes.
    func smallest(window: Int) -> Int { smallest { $0.fits && $0.window >= window } }

    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    // MARK: The parts of each phase

    /// What is there from the first phase to the last.
    package var always: [Part] {
        [
            Part(name: "the program", bytes: Self.program),
            Part(
                name: "\(Self.count(threads, "thread")): parsing, compressing",
                bytes: threads * Self.perThread),
            Part(name: "kept free", bytes: total / Self.spareDivisor),
        ] + (held > 0 ? [Part(name: "what stages hold", bytes: held)] : [])
    }

    /// Workers of a pass: one for each thread.
    package func workers(_ memory: [TransformMemory]) -> [Part] {
        let bytes = threads * memory.reduce(0) { $0 + $1.perThread }
        return bytes > 0 ? [Part(name: "workers of the stages", bytes: bytes)] : []
    }

    /// What surveys left to work that is not done yet.
    package static func left(_ bytes: Int) -> [Part] {
        bytes > 0 ? [Part(name: "what surveys left", bytes: bytes)] : []
    }

    private func blocksPart(_ count: Int, of size: Int = perBlock) -> Part {
        Part(name: "\(count) blocks under way", bytes: count * size)
    }

    /// What a pass over the input takes.
    private func input(block size: Int = perBlock) -> [Part] {
        [
            blocksPart(blocks, of: size),
            Part(name: longName, bytes: long),
            Part(
                name: Self.count(streams, "input") + " open" + (readAhead > 0 ? ", frames unpacked ahead" : ""),
                bytes: streams * (Self.perStream + readAhead) + (streams - 1) * Self.leastWindow),
            Part(name: "the window of a frame of zstd --long", bytes: window),
        ]
    }

    /// How many of the longest records fit at a time.
    private var longName: String {
        let size = MemorySize.describe(copies.longest)
        let atOnce = long / max(1, copies.most)
        return atOnce == 1 ? "a record of up to \(size), one at a time" : "\(atOnce) records of up to \(size)"
    }

    /// Beside what `perThread` has for it.
    private var compressing: [Part] {
        guard compressor > 0 else { return [] }
        return [
            Part(
                name: "\(Self.count(compressors, "compressor")) of level \(definition.output.level)",
                bytes: compressors * compressor)
        ]
    }

    private func ledger(_ purpose: String) -> [Part] { ledger > 0 ? [Part(name: purpose, bytes: ledger)] : [] }
    private var ledgerPart: [Part] { ledger("ledger lines to be sorted") }

    /// - Parameter hasTable: whether duplicates are told by a table, or were found before and are read from disk.
    package func reading(hasTable: Bool = true) -> [Part] {
        input(block: readingBlock) + (hasTable && dedupe > 0 ? [Part(name: dedupeName, bytes: dedupe)] : [])
            + (readingWorkers > 0 ? [Part(name: "workers of the stages", bytes: readingWorkers)] : []) + ledgerPart
            + (ledger > 0 ? [] : compressing)
    }

    private var dedupeName: String { definition.input.dedupe?.heldInMemory ?? "" }

    /// The pass that puts all hashes on disk.
    package var spilling: [Part] { input() + [Part(name: "hashes to be sorted", bytes: dedupe)] }

    /// The pass that puts contents with equal hashes on disk.
    package var comparing: [Part] { input() + [Part(name: "contents to be sorted", bytes: dedupe)] }

    package var writing: [Part] { input() + ledger("ledger lines to be merged") + compressing }

    /// A pass over the kept columns with nothing but transforms.
    ///
    /// - Parameter beside: what the pass holds beside its blocks, such as workers.
    /// - Throws: where that does not fit.
    package func rows(_ stage: String, beside: [Part] = []) throws(EngineError) -> RowShare {
        try rows(stage, beside, least: 0, advice: nil) { _ in 0 }
    }

    /// What a selection takes beside its share.
    package var choosing: [Part] { ledgerPart }

    /// What a pass over the kept columns gets.
    package struct RowShare: Sendable {
        package let blocks: Int
        package let parts: [Part]
    }

    /// What a survey gets.
    package struct SurveyShare: Sendable {
        /// Threads that can observe at a time.
        package let summaries: Int
        /// Summaries and what `finish` needs.
        package let bytes: Int
        package let blocks: Int
        package let parts: [Part]
    }

    private func freeForRows(_ beside: [Part]) -> Int { room - ledger - 4 * Self.perBlock - Self.sum(beside) }
    private func freeForSelection(_ beside: [Part]) -> Int { room - ledger - Self.sum(beside) }
    private static func sum(_ parts: [Part]) -> Int { parts.reduce(0) { $0 + $1.bytes } }

    private func rows(
        _ stage: String, _ beside: [Part], least: Int, advice: String?, _ take: (_ free: Int) -> Int
    ) throws(EngineError) -> RowShare {
        let free = freeForRows(beside)
        guard least <= free else {
            let enough = smallest { $0.fits && least <= $0.freeForRows(beside) }
            throw refusal(
                stage, "", needs: least + Self.sum(beside), share: free + Self.sum(beside), least: enough,
                advice: advice)
        }
        let blocks = min(blocks, 4 + (free - take(free)) / Self.perBlock)
        return RowShare(blocks: blocks, parts: [blocksPart(blocks)] + beside + ledgerPart)
    }

    /// - Parameter beside: what the pass holds beside its blocks and the survey, such as workers.
    /// - Throws: where a survey that another one turned into does not fit.
    package func survey(
        _ stage: String, _ memory: SurveyMemory, beside: [Part] = []
    ) throws(EngineError) -> SurveyShare {
        func summaries(_ free: Int) -> Int { max(1, min(threads, free / max(1, memory.summary))) }
        func bytes(_ free: Int) -> Int { max(memory.least, summaries(free) * memory.summary) }
        let rows = try rows(stage, beside, least: memory.least, advice: memory.advice) { bytes($0) }
        let count = summaries(freeForRows(beside))
        let name = "\(count == 1 ? "a summary" : "\(count) summaries") and what is made of them"
        let part = Part(name: name, bytes: bytes(freeForRows(beside)))
        return SurveyShare(summaries: count, bytes: part.bytes, blocks: rows.blocks, parts: rows.parts + [part])
    }

    /// What a selection gets: its share, or what its largest group can't do without.
    ///
    /// - Parameters:
    ///   - need: bytes.
    ///   - purpose: of what, with a space before it.
    ///   - beside: what else is held in the meantime.
    /// - Throws: where a group does not fit.
    package func selection(
        _ stage: String, _ need: Int, purpose: String = "", advice: String? = nil, beside: [Part] = []
    ) throws(EngineError) -> Part {
        let free = freeForSelection(beside)
        guard need <= free else {
            let least = smallest { $0.fits && need <= $0.freeForSelection(beside) }
            throw refusal(stage, purpose, needs: need, share: free, least: least, advice: advice)
        }
        return Part(name: "groups that are chosen from", bytes: max(min(self.stage, free), need))
    }

    /// The most that a stage could get: what `body` is told.
    package var most: Int { max(0, room - Self.leastLedger - 4 * Self.perBlock) }
}

extension MemoryShares.Need {
    var isTransform: Bool { if case .transform = kind { true } else { false } }
}
