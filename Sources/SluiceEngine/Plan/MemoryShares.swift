package import SluiceCore
import SluiceIO

/// Divides the memory of a run, before anything is read.
///
/// Phases follow each other, so the next phase reuses a share. Each phase first gets its minimum; the remainder goes
/// where more memory saves time. So a budget that is enough stays enough when it is raised, and the smallest one is
/// known.
package struct MemoryShares: Sendable {
    /// The program itself: mapped code and data, stacks, memory retained by the C library.
    package static let program = 28 << 20
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
    static let leastDedupe = 1 << 20
    static let leastLedger = 1 << 20

    /// The memory that any reading needs: the program, its threads, and as many blocks under way as keep them busy.
    package static func reading(threads: Int) -> Int {
        program + threads * perThread + max(4, 2 * threads + 2) * perBlock
    }

    package let total: Int
    package let threads: Int
    /// The most blocks under way at a time.
    package let blocks: Int
    /// The most inputs open at a time, and the memory of each.
    package let streams: Int
    let stream: Int
    /// Bytes of frames unpacked ahead of the reader; 0 for none.
    let readAhead: Int
    /// The largest zstd window that is unpacked, in one input at a time.
    package let window: Int
    /// The number of long records under way, and the memory of each.
    let long: Int
    let copies: RecordCopies
    /// The most compressors of kept records in use at a time, and the memory of each beyond its thread's share.
    let compressors: Int
    let compressor: Int
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
    let room: Int
    let definition: Definition
    let demand: Demand
    /// The minimum for reading.
    let leastReading: Int
    /// A block in the pass that makes the columns.
    let readingBlock: Int
    let loads: [Load]
    /// Memory held by the known work during the whole run.
    let held: Int
    /// Workers of the transforms that run during reading.
    let readingWorkers: Int

    /// What is known of a run before its memory is divided.
    struct Demand: Sendable {
        /// The number of input files, if known.
        var inputs = Int.max
        /// Bytes that an open input takes beside its reader's; see `InputStore.openBytes`.
        var openBytes = 0
        /// Bytes of the vectors that stages write, per row.
        var width = 0
        var uses = RecordCopies.Uses()
        /// The needs of all work known so far.
        var needs: [Need] = []
    }

    /// - Parameters: see `Demand`.
    /// - Throws: `EngineError` with code `.resources`: the need, the available memory, and the smallest sufficient
    ///   budget.
    package init(
        _ definition: Definition, threads: Int, inputs: Int = .max, width: Int = 0,
        uses: RecordCopies.Uses = RecordCopies.Uses(), needs: [Need] = []
    ) throws(EngineError) {
        self.init(
            definition, total: definition.memory, threads: threads,
            Demand(inputs: inputs, width: width, uses: uses, needs: needs))
        guard !fits else { return }
        throw refusal(least: smallest)
    }

    /// The shares of a budget that may be too small: see `fits`.
    init(_ definition: Definition, total: Int, threads: Int, _ demand: Demand) {
        (self.definition, self.demand, self.total, self.threads) = (definition, demand, total, threads)
        let needs = demand.needs
        readingBlock = Self.perBlock + Self.perBlockWidth * max(0, demand.width - 512)
        held = needs.reduce(0) { $0 + $1.resident }
        room = total - total / Self.spareDivisor - Self.program - threads * Self.perThread - held
        let loads = Self.loads(needs, threads: threads)
        readingWorkers = loads.first?.bytes ?? 0
        self.loads = Array(loads.dropFirst())
        copies = RecordCopies(definition, demand.uses)
        let keeps = needs.contains { !$0.isTransform }
        let (isDeduped, isPlain) = (definition.input.dedupe != nil, definition.stages.isEmpty)
        stream = Self.perStream + demand.openBytes
        let output = definition.output
        compressor =
            output.compression == .zstd
            ? max(0, FrameCompressor.memory(level: output.level) - Self.usualCompressor) : 0
        leastReading =
            4 * readingBlock + readingWorkers + stream + Self.leastWindow + copies.most + compressor
            + (isDeduped ? Self.leastDedupe : 0) + (keeps ? Self.leastLedger : 0)
        // Minimums come first; each part then gets a share of the remainder.
        let beyond = max(0, room - leastReading)
        // Blocks come first: with four, as many as a frame takes, two threads that compress are no faster than one.
        let most = max(4, 2 * threads + 2)
        blocks = min(most, 4 + beyond / 2 / readingBlock)
        streams = max(1, min(threads, demand.inputs, 1 + beyond / 8 / (stream + Self.leastWindow)))
        // With few threads the others never wait for unpacking.
        let ahead = threads >= 4 ? (min(4, threads / 2) + 1) * Self.perFrameAhead : 0
        readAhead = min(ahead, beyond / 8 / streams)
        compressors = compressor > 0 ? min(threads, 1 + beyond / 4 / compressor) : threads
        long = copies.most + min((threads - 1) * copies.most, beyond / 8)
        let used =
            (blocks - 4) * readingBlock + (streams - 1) * (stream + Self.leastWindow) + streams * readAhead
            + max(0, compressors - 1) * compressor + long - copies.most
        let rest = max(0, room - blocks * Self.perBlock - streams * (stream + readAhead))
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
        // The workers and requests of the next pass, and the result of the survey before it.
        var (workers, left, requests) = (0, 0, Requests())
        for need in needs.dropFirst(first.count) {
            requests.add(need.requests)
            workers += need.perThread * threads
            let beside = workers + left + need.longestRow + requests.least
            switch need.kind {
            case .transform, .asking:
                let own = beside
                loads.append(Load(need: need, own: own, bytes: blocks + own))
            case .survey(let memory):
                let own = beside + memory.least
                loads.append(Load(need: need, own: own, bytes: blocks + own))
                (workers, left, requests) = (0, memory.leaves, Requests())
            case .selection(let bytes):
                loads.append(Load(need: need, own: left + bytes, bytes: left + bytes))
                // The transforms before it have a pass of their own, which reads its columns, too.
                if need.longestRow > 0 { loads.append(Load(need: need, own: beside, bytes: blocks + beside)) }
                (workers, left, requests) = (0, 0, Requests())
            }
        }
        return loads
    }
}
