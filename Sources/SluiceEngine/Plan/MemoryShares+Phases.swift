package import SluiceCore

/// The parts of the budget that each phase leases.
extension MemoryShares {

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
                bytes: streams * (stream + readAhead) + (streams - 1) * Self.leastWindow),
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

    /// Making the definition's outputs: what is free for sorting comes first.
    package var sinking: [Part] {
        let rest =
            [
                blocksPart(blocks), Part(name: longName, bytes: copies.most),
                Part(name: "1 input open", bytes: Self.perStream),
            ] + compressing
        // Reading needs as much as the rest and the window of a frame.
        let free = max(Self.leastWindow, room - Self.sum(rest))
        let rungs = definition.sinks.map { $0.ladder?.mostRungs ?? 1 }.max() ?? 1
        let files = min(free / 2, max(rungs, definition.sinks.count { !$0.isSorted }) * Self.perOutput)
        return [
            Part(name: "lines to be sorted", bytes: free - files), Part(name: "outputs open", bytes: files),
        ] + rest
    }

    /// The lines that wait for a frame of an output.
    static let perOutput = 5 << 19

    /// A pass over the kept columns with transforms only.
    ///
    /// - Parameters:
    ///   - beside: memory of the pass in addition to its blocks, such as workers.
    ///   - requests: those that the pass has in flight.
    /// - Throws: `EngineError` if that does not fit.
    package func rows(
        _ stage: String, beside: [Part] = [], _ requests: Requests = Requests()
    ) throws(EngineError) -> RowShare {
        try rows(stage, beside, requests, least: 0, advice: nil) { _ in 0 }
    }

    /// Memory of a selection in addition to its share.
    package var choosing: [Part] { ledgerPart }

    /// The share of a pass over the kept columns.
    package struct RowShare: Sendable {
        package let blocks: Int
        /// How many blocks more there may be under way while requests are lacking.
        package let extra: Int
        package let parts: [Part]
    }

    /// The share of a survey.
    package struct SurveyShare: Sendable {
        /// The most threads that can observe at a time.
        package let summaries: Int
        /// Memory for the summaries and `finish`.
        package let bytes: Int
        /// The share of the pass.
        package let rows: RowShare
        package var parts: [Part] { rows.parts + [part] }
        fileprivate let part: Part
    }

    private func freeForRows(_ beside: [Part]) -> Int { room - ledger - 4 * Self.perBlock - Self.sum(beside) }
    private func freeForSelection(_ beside: [Part]) -> Int { room - ledger - Self.sum(beside) }
    private static func sum(_ parts: [Part]) -> Int { parts.reduce(0) { $0 + $1.bytes } }

    private func rows(
        _ stage: String, _ beside: [Part], _ requests: Requests, least: Int, advice: String?,
        _ take: (_ free: Int) -> Int
    ) throws(EngineError) -> RowShare {
        let beside = beside + requests.parts
        let free = freeForRows(beside)
        guard least <= free else {
            let enough = smallest { $0.fits && least <= $0.freeForRows(beside) }
            throw refusal(
                stage, "", needs: least + Self.sum(beside), share: free + Self.sum(beside), least: enough,
                advice: advice)
        }
        let (left, size) = (free - take(free), Self.perBlock + requests.perBlock)
        let blocks = min(blocks, 4 + left / size)
        // At worst a block is one record; such blocks are only read while there are too few requests.
        let extra = min(requests.width, max(0, left - (blocks - 4) * size) / size)
        let more = requests.parts(of: blocks + extra - 4)
        return RowShare(
            blocks: blocks, extra: extra, parts: [blocksPart(blocks + extra)] + beside + more + ledgerPart)
    }

    /// - Parameters:
    ///   - beside: memory of the pass in addition to its blocks and the survey, such as workers.
    ///   - requests: those that the pass has in flight.
    /// - Throws: `EngineError` if a survey that resulted from another one does not fit.
    package func survey(
        _ stage: String, _ memory: SurveyMemory, beside: [Part] = [], _ requests: Requests = Requests()
    ) throws(EngineError) -> SurveyShare {
        func summaries(_ free: Int) -> Int { max(1, min(threads, free / max(1, memory.summary))) }
        func bytes(_ free: Int) -> Int { max(memory.least, summaries(free) * memory.summary) }
        let rows = try rows(stage, beside, requests, least: memory.least, advice: memory.advice) { bytes($0) }
        let free = freeForRows(beside + requests.parts)
        let count = summaries(free)
        let name = "\(count == 1 ? "a summary" : "\(count) summaries") and the result"
        let part = Part(name: name, bytes: bytes(free))
        return SurveyShare(summaries: count, bytes: part.bytes, rows: rows, part: part)
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
