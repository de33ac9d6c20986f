package import SluiceCore
import SluiceIO

/// Divides the memory of a run, before anything is read.
///
/// Phases follow each other, so the next phase reuses a share. Each phase first gets its minimum; the remainder goes
/// where more memory saves time. So a budget that is enough stays enough when it is raised, and the smallest one is
/// known.
package struct MemoryShares: Sendable {
    /// The program itself: mapped code and data, stacks, memory retained by the C library.
    package static let program = 40 << 20
    /// A block under way: its bytes, the data derived from them, and the frames compressed from it.
    package static let perBlock = 3 << 20
    /// Extra bytes per block for each byte of vector per row beyond 512. A block holds about 1,024 rows, and columns
    /// exist twice while dropped rows are removed.
    static let perBlockWidth = 2 << 10
    /// Compression and parsing contexts of a thread.
    package static let perThread = 6 << 20
    /// The buffers of an open input.
    package static let perStream = 4 << 20
    /// A frame unpacked ahead of the reader, in both forms.
    static let perFrameAhead = 3 << 20
    /// The part of `perThread` for a compressor; high levels need more.
    private static let usualCompressor = 2 << 20
    /// The part of the budget left unused: for memory retained by the C library, and a few bits per record.
    static let spareDivisor = 16

    /// Windows up to this size are always unpacked, in each open input.
    static let leastWindowLog = 23
    static let leastWindow = 1 << leastWindowLog
    private static let leastDedupe = 1 << 20
    private static let leastLedger = 1 << 20

    /// An amount of memory and its purpose.
    package struct Part: Sendable, Hashable {
        package let name: String
        package let bytes: Int
    }

    /// The needs that a stage declares before anything is read.
    package struct Need: Sendable {
        package enum Kind: Sendable {
            case transform(TransformMemory)
            case survey(SurveyMemory)
            /// The least memory for a group, in bytes.
            case selection(Int)
        }

        package let stage: String
        package let kind: Kind
        /// Memory held from the beginning of the run to its end.
        package let resident: Int
        /// What the longest record takes in the pass over kept columns that does the work.
        package let longestRow: Int

        package init(stage: String, kind: Kind, resident: Int = 0, longestRow: Int = 0) {
            self.stage = stage
            self.kind = kind
            self.resident = resident
            self.longestRow = longestRow
        }

        /// Its minimum, without its workers.
        var least: Int {
            switch kind {
            case .transform: 0
            case .survey(let memory): memory.least
            case .selection(let bytes): bytes
            }
        }

        /// Memory of one of its workers.
        var perThread: Int { if case .transform(let memory) = kind { memory.perThread } else { 0 } }
        /// Memory held by its result for later work.
        var leaves: Int { if case .survey(let memory) = kind { memory.leaves } else { 0 } }
    }

    /// The minimum of a pass.
    private struct Load {
        /// The stage whose pass it is; nil for reading.
        let need: Need?
        /// The minimum of the stage itself.
        let own: Int
        /// `own` and the minimum of any such pass.
        let bytes: Int
    }

    /// The memory that any reading needs: the program, its threads, and as many blocks under way as keep them busy.
    package static func reading(threads: Int) -> Int {
        program + threads * perThread + max(4, 2 * threads + 2) * perBlock
    }

    package let total: Int
    package let threads: Int
    /// The most blocks under way at a time.
    package let blocks: Int
    /// The most inputs open at a time.
    package let streams: Int
    /// Bytes of frames unpacked ahead of the reader; 0 for none.
    let readAhead: Int
    /// The largest zstd window that is unpacked, in one input at a time.
    package let window: Int
    /// The number of long records under way, and the memory of each.
    let long: Int
    let copies: RecordCopies
    /// The most compressors of kept records in use at a time, and the memory of each beyond its thread's share.
    let compressors: Int
    private let compressor: Int
    /// The table of the dedupe, or its buffers where it works on disk; 0 without one.
    package let dedupe: Int
    /// The table while there is no long record, whose memory it may use.
    package let largestTable: Int
    /// A selection's own state, and the columns of the groups being processed.
    package let stage: Int
    /// Vectors of the groups being processed, if a selection can also read them in passes: more of them in memory would
    /// gain little, since the system caches the work files in otherwise unused memory.
    package let resident: Int
    /// Ledger lines waiting to be sorted; 0 if they go directly to the output.
    package let ledger: Int
    /// The total for the parts of a phase.
    private let room: Int
    private let definition: Definition
    private let inputs: Int
    /// Bytes of a row's vectors.
    private let width: Int
    private let uses: RecordCopies.Uses
    /// The minimum for reading.
    private let leastReading: Int
    /// A block in the pass that makes the columns.
    private let readingBlock: Int
    private let needs: [Need]
    private let loads: [Load]
    /// Memory held by the known work during the whole run.
    private let held: Int
    /// Workers of the transforms that run during reading.
    private let readingWorkers: Int

    /// - Parameters:
    ///   - inputs: the number of input files, if known.
    ///   - width: bytes of the vectors that stages write, per row.
    ///   - needs: the needs of all work known so far.
    /// - Throws: `EngineError` with code `.resources`: the need, the available memory, and the smallest sufficient
    ///   budget.
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

    /// The shares of a budget that may be too small: see `fits`.
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
        // Minimums come first; each part then gets a share of the remainder.
        let beyond = max(0, room - leastReading)
        // More blocks mean more reading ahead.
        let most = max(4, 2 * threads + 2)
        blocks = min(most, 4 + beyond / 4 / readingBlock)
        streams = max(1, min(threads, inputs, 1 + beyond / 8 / (Self.perStream + Self.leastWindow)))
        // With few threads the others never wait for unpacking.
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
        // A plain dedupe may fill the remainder with its table. With stages after it, it spills earlier: the extra pass
        // costs little compared with them, and peak memory does not grow with the input.
        dedupe =
            isDeduped
            ? min(
                restOfReading * (isPlain ? 3 : 1) / 4,
                max(Self.leastDedupe, restOfReading - ledger - Self.leastWindow)) : 0
        largestTable =
            isPlain ? dedupe + (isDeduped ? long : 0) : max(dedupe, min(dedupe + long, (restOfReading + long) / 4))
        // The window of zstd --long is 128 MiB.
        let free = min(128 << 20, max(Self.leastWindow, total / 4), restOfReading - dedupe - ledger)
        window = max(Self.leastWindow, free < 1 ? 0 : 1 << (Int.bitWidth - 1 - free.leadingZeroBitCount))
    }

    /// A twelfth of the available memory, but no more than every stage can spare.
    private static func ledger(rest: Int, room: Int, _ loads: [Load]) -> Int {
        let spared = loads.map { room - $0.bytes }.min() ?? room
        return max(leastLedger, min(32 << 20, rest / 12, spared))
    }

    /// The minimum of each pass without ledger lines: first the workers of the reading pass, then every pass over kept
    /// columns.
    private static func loads(_ needs: [Need], threads: Int) -> [Load] {
        let blocks = 4 * perBlock
        let first = needs.prefix { $0.isTransform }
        let reading = first.reduce(0) { $0 + $1.perThread * threads }
        var loads = [Load(need: nil, own: reading, bytes: reading)]
        // The workers of the next pass, and the result of the survey before it.
        var (workers, left) = (0, 0)
        for need in needs.dropFirst(first.count) {
            workers += need.perThread * threads
            switch need.kind {
            case .transform:
                let own = workers + left + need.longestRow
                loads.append(Load(need: need, own: own, bytes: blocks + own))
            case .survey(let memory):
                let own = workers + left + need.longestRow + memory.least
                loads.append(Load(need: need, own: own, bytes: blocks + own))
                (workers, left) = (0, memory.leaves)
            case .selection(let bytes):
                loads.append(Load(need: need, own: left + bytes, bytes: left + bytes))
                // The transforms before it have a pass of their own, which reads its columns, too.
                let own = workers + left + need.longestRow
                if need.longestRow > 0 { loads.append(Load(need: need, own: own, bytes: blocks + own)) }
                (workers, left) = (0, 0)
            }
        }
        return loads
    }

    var fits: Bool { missing.bytes <= 0 }

    /// The phase that lacks the most memory, and how much; if that is not positive, nothing is missing.
    private var missing: (load: Load?, bytes: Int) {
        var worst: (load: Load?, bytes: Int) = (nil, leastReading - room)
        for load in loads {
            let bytes = load.bytes + Self.leastLedger - room
            if bytes > max(0, worst.bytes) { worst = (load, bytes) }
        }
        return worst
    }

    /// - Parameter least: the smallest sufficient budget.
    func refusal(least: Int) -> EngineError {
        let worst = missing
        guard let load = worst.load, let need = load.need else {
            // Up to a quarter of the total leaves enough for the other parts.
            let advice =
                copies.most > room / 4
                ? ", of which records of up to `max_record: \(MemorySize.spell(copies.longest))` take \(MemorySize.describe(copies.most))"
                : ""
            return EngineError(
                .resources,
                "`memory: \(MemorySize.describe(total))` is too little for \(Self.count(threads, "thread")); it needs at least \(MemorySize.spell(least))\(advice)"
            )
        }
        // A stage's advice depends on the memory it could get; if reading has too little, there is none.
        var advice: String?
        if case .survey(let memory) = need.kind, leastReading <= room { advice = memory.advice }
        if advice == nil, need.longestRow > load.own / 2 {
            advice =
                "lower `max_record`: a record of \(MemorySize.spell(copies.longest)) takes \(MemorySize.describe(need.longestRow)) there"
        }
        return refusal(
            need.stage, "", needs: load.own, share: load.own - worst.bytes, least: least, advice: advice)
    }

    private func refusal(
        _ stage: String, _ purpose: String, needs bytes: Int, share: Int, least: Int, advice: String?
    ) -> EngineError {
        EngineError(
            .resources,
            "stage `\(stage)` needs \(MemorySize.describe(bytes))\(purpose), but its share of `memory: \(MemorySize.describe(total))` is \(MemorySize.describe(max(0, share))); the run needs at least \(MemorySize.spell(least))\(advice.map { ", or \($0)" } ?? "")"
        )
    }

    /// The smallest whole number of MiB whose shares are good, provided that all larger ones are good, too.
    private func smallest(_ isGood: (MemoryShares) -> Bool) -> Int {
        Self.smallest { size in
            isGood(
                MemoryShares(
                    definition, total: size, threads: threads, inputs: inputs, width: width, uses: uses, needs: needs))
        }
    }

    /// The smallest whole number of MiB, in bytes, that is good, provided that all larger ones are good, too.
    static func smallest<E>(_ isGood: (_ total: Int) throws(E) -> Bool) throws(E) -> Int {
        var (low, high) = (0, 1)
        while high < 1 << 40, try !isGood(high << 20) { (low, high) = (high, high * 2) }
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if try isGood(middle << 20) { high = middle } else { low = middle }
        }
        return high << 20
    }

    /// The smallest sufficient budget for everything known.
    package var smallest: Int { smallest { $0.fits } }

    /// The smallest budget that unpacks a zstd window of this many bytes.
    func smallest(window: Int) -> Int { smallest { $0.fits && $0.window >= window } }

    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    // MARK: The parts of each phase

    /// Memory held from the first phase to the last.
    package var always: [Part] {
        [
            Part(name: "the program", bytes: Self.program),
            Part(
                name: "\(Self.count(threads, "thread")): parsing, compressing",
                bytes: threads * Self.perThread),
            Part(name: "kept free", bytes: total / Self.spareDivisor),
        ] + (held > 0 ? [Part(name: "held by stages", bytes: held)] : [])
    }

    /// Workers of a pass: one for each thread.
    package func workers(_ memory: [TransformMemory]) -> [Part] {
        let bytes = threads * memory.reduce(0) { $0 + $1.perThread }
        return bytes > 0 ? [Part(name: "workers of the stages", bytes: bytes)] : []
    }

    /// Memory held by results of surveys for work not done yet.
    package static func left(_ bytes: Int) -> [Part] {
        bytes > 0 ? [Part(name: "results of surveys", bytes: bytes)] : []
    }

    /// What the longest record takes in a pass over kept columns, alone.
    package static func longestRow(_ bytes: Int) -> [Part] {
        bytes > 0 ? [Part(name: "the longest record", bytes: bytes)] : []
    }

    private func blocksPart(_ count: Int, of size: Int = perBlock) -> Part {
        Part(name: "\(count) blocks under way", bytes: count * size)
    }

    /// The memory of a pass over the input.
    ///
    /// - Parameter table: the bytes of the dedupe's table, which also uses the memory for long records.
    private func input(block size: Int = perBlock, table: Int = 0) -> [Part] {
        [
            blocksPart(blocks, of: size),
            Part(name: (table > 0 ? "\(dedupeName), and " : "") + longName, bytes: table + long),
            Part(
                name: Self.count(streams, "input") + " open" + (readAhead > 0 ? ", frames unpacked ahead" : ""),
                bytes: streams * (Self.perStream + readAhead) + (streams - 1) * Self.leastWindow),
            Part(name: "the window of a frame of zstd --long", bytes: window),
        ]
    }

    /// The number of the longest records that fit at a time.
    private var longName: String {
        let size = MemorySize.describe(copies.longest)
        let atOnce = long / max(1, copies.most)
        return atOnce == 1 ? "a record of up to \(size), one at a time" : "\(atOnce) records of up to \(size)"
    }

    /// Compressors' memory in addition to `perThread`.
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

    /// - Parameter hasTable: whether a table finds duplicates, or they were found before and are read from disk.
    package func reading(hasTable: Bool = true) -> [Part] {
        input(block: readingBlock, table: hasTable ? dedupe : 0)
            + (readingWorkers > 0 ? [Part(name: "workers of the stages", bytes: readingWorkers)] : []) + ledgerPart
            + (ledger > 0 ? [] : compressing)
    }

    private var dedupeName: String { definition.input.dedupe?.heldInMemory ?? "" }

    /// The pass that writes all hashes to disk.
    package var spilling: [Part] { input() + [Part(name: "hashes to be sorted", bytes: dedupe)] }

    /// The pass that writes contents with equal hashes to disk.
    package var comparing: [Part] { input() + [Part(name: "contents to be sorted", bytes: dedupe)] }

    package var writing: [Part] { input() + ledger("ledger lines to be merged") + compressing }

    /// A pass over the kept columns with transforms only.
    ///
    /// - Parameter beside: memory of the pass in addition to its blocks, such as workers.
    /// - Throws: `EngineError` if that does not fit.
    package func rows(_ stage: String, beside: [Part] = []) throws(EngineError) -> RowShare {
        try rows(stage, beside, least: 0, advice: nil) { _ in 0 }
    }

    /// Memory of a selection in addition to its share.
    package var choosing: [Part] { ledgerPart }

    /// The share of a pass over the kept columns.
    package struct RowShare: Sendable {
        package let blocks: Int
        package let parts: [Part]
    }

    /// The share of a survey.
    package struct SurveyShare: Sendable {
        /// The most threads that can observe at a time.
        package let summaries: Int
        /// Memory for the summaries and `finish`.
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

    /// - Parameter beside: memory of the pass in addition to its blocks and the survey, such as workers.
    /// - Throws: `EngineError` if a survey that resulted from another one does not fit.
    package func survey(
        _ stage: String, _ memory: SurveyMemory, beside: [Part] = []
    ) throws(EngineError) -> SurveyShare {
        func summaries(_ free: Int) -> Int { max(1, min(threads, free / max(1, memory.summary))) }
        func bytes(_ free: Int) -> Int { max(memory.least, summaries(free) * memory.summary) }
        let rows = try rows(stage, beside, least: memory.least, advice: memory.advice) { bytes($0) }
        let count = summaries(freeForRows(beside))
        let name = "\(count == 1 ? "a summary" : "\(count) summaries") and the result"
        let part = Part(name: name, bytes: bytes(freeForRows(beside)))
        return SurveyShare(summaries: count, bytes: part.bytes, blocks: rows.blocks, parts: rows.parts + [part])
    }

    /// The memory of a selection: its share, or the minimum of its largest group.
    ///
    /// - Parameters:
    ///   - need: bytes.
    ///   - purpose: the reason, starting with a space.
    ///   - beside: other memory held at the same time.
    /// - Throws: `EngineError` if a group does not fit.
    package func selection(
        _ stage: String, _ need: Int, purpose: String = "", advice: String? = nil, beside: [Part] = []
    ) throws(EngineError) -> Part {
        let free = freeForSelection(beside)
        guard need <= free else {
            let least = smallest { $0.fits && need <= $0.freeForSelection(beside) }
            throw refusal(stage, purpose, needs: need, share: free, least: least, advice: advice)
        }
        return Part(name: "groups in work", bytes: max(min(self.stage, free), need))
    }

    /// The most memory that a stage could get, as stated to `body`.
    package var most: Int { max(0, room - Self.leastLedger - 4 * Self.perBlock) }
}

extension MemoryShares.Need {
    var isTransform: Bool { if case .transform = kind { true } else { false } }
}
