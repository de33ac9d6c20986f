import SluiceCore
import SluiceIO
import Synchronization

/// Reads the input block by block, checks every line, and passes on good records.
///
/// An instance serves one pass over the input. Its steps fit a `Conveyor`: `lane` reads, `parse` checks and hashes.
final class InputPass: @unchecked Sendable {
    // @unchecked: all stored properties are constant or thread-safe; a parcel is used by one thread at a time.

    let catalog: InputCatalog
    /// The files to read.
    let files: Range<Int>
    let parts: InputParts
    /// The parts to read.
    let partRange: Range<Int>
    /// The lines of the first file before those that are read.
    let linesBefore: Int
    let format: any RecordFormat
    let spec: InputSpec
    private(set) var limits: FramingLimits
    let progress: ProgressMeter
    /// Fields to extract: those of the stages, then the dedupe's fields that no stage reads.
    let fields: [FieldPath]
    /// The watched ones among them, by their places.
    private let watched: [(name: String, field: Int)]
    let dedupeFields: [Int]
    let keepsFields: Bool
    let keepsKeys: Bool
    /// Asked while an input has no bytes to read.
    let isStopped: @Sendable () -> Bool
    let shares: MemoryShares
    let long: LongRecords
    let windowLogMax: Int
    /// 128 MiB: the window that `zstd --long` uses.
    static let largestWindowLog = 27
    let extractors: ObjectPool<Extractor>
    let parcels: ObjectPool<InputParcel>
    let sources = OpenSources()
    let digests: Mutex<[Int: FileFacts]> = Mutex([:])
    private let firstFields = Mutex<(ordinal: Ordinal, names: [String])>((Ordinal(rawValue: .max), []))
    /// The position where the run stopped; blocks before it are skipped or replayed.
    let start: Checkpoint.Position
    let replays: Bool
    /// The facts about files found by an earlier reading, which this one must confirm.
    let expected: [Int: FileFacts]

    /// A thread's parser and buffers.
    final class Extractor {
        let json: JSONExtractor
        let arena: FieldArena
        var hasher = RecordHasher()

        init(_ paths: [FieldPath]) {
            json = JSONExtractor(paths)
            arena = FieldArena(width: paths.count)
        }
    }

    /// What a pass reads, and from where.
    struct Request {
        /// The fields in the parcels for the stages.
        var stageFields: [FieldPath] = []
        /// Those of them of which the account says whether any record has them.
        var watched: [FieldPath] = []
        /// Where the stopped run was, if there was one.
        var checkpoint: Checkpoint?
        /// The facts about files found by an earlier reading.
        var expected: [Int: FileFacts] = [:]
        /// The most memory of a table that finds duplicates in this pass, part of which it shares with long records; 0
        /// without one. The blocks before the checkpoint are then read again, since a table is not kept on disk.
        var table = 0
        /// The part to read; nil for all.
        var part: Int?
        /// The lines of the part's file before it, if it is a range of a file. If they aren't known, lines are counted from
        /// the beginning of the part.
        var linesBefore = 0
    }

    /// What is read, and with what.
    struct Source {
        let catalog: InputCatalog
        let parts: InputParts
        let spec: InputSpec
        let options: RunOptions
        /// The memory of the pass for reading.
        let shares: MemoryShares
        let progress: ProgressMeter
    }

    init(_ source: Source, _ request: Request) {
        (catalog, spec, shares, progress) = (source.catalog, source.spec, source.shares, source.progress)
        (parts, format) = (source.parts, source.options.format)
        partRange = request.part.map { $0..<($0 + 1) } ?? 0..<parts.count
        files = request.part.map { source.parts.all[$0].files } ?? 0..<catalog.files.count
        linesBefore = request.linesBefore
        isStopped = source.options.isStopped
        let table = request.table
        long = LongRecords(bytes: shares.long, table: min(table, shares.dedupe), mostTable: table, shares.copies)
        windowLogMax = min(
            Self.largestWindowLog, max(20, Int.bitWidth - 1 - max(1, shares.window).leadingZeroBitCount))
        start = request.checkpoint?.position ?? Checkpoint.Position()
        replays = table > 0
        keepsKeys = table > 0 && spec.dedupe?.verify == .bytes
        let known = request.checkpoint?.files ?? [:]
        expected = request.expected.merging(known) { first, _ in first }
        digests.withLock { $0 = known }
        if let names = request.checkpoint?.fieldNames, !names.isEmpty {
            firstFields.withLock { $0 = (Ordinal(rawValue: 0), names) }
        }
        limits = FramingLimits(blockBytes: source.options.blockBytes, maxRecord: spec.maxRecord)
        limits.longRecord = min(limits.longRecord, LongRecords.threshold)
        let stageFields = request.stageFields
        var fields = stageFields
        if case .fields(let paths) = spec.dedupe?.on {
            for path in paths where !fields.contains(path) { fields.append(path) }
            dedupeFields = paths.compactMap { fields.firstIndex(of: $0) }
        } else {
            dedupeFields = []
        }
        self.fields = fields
        watched = request.watched.compactMap { path in fields.firstIndex(of: path).map { (path.description, $0) } }
        keepsFields = !stageFields.isEmpty
        extractors = ObjectPool { [fields] in Extractor(fields) }
        parcels = ObjectPool { InputParcel() }
    }

    /// Checks every line of the block, hashes the good ones, and notes the faults of the others.
    func parse(_ parcel: InputParcel) throws {
        let extractor = extractors.take()
        defer { extractors.giveBack(extractor) }
        let raw = parcel.raw
        if raw.isLong, let line = raw.lines.first {
            try parseLong(parcel, line, extractor)
            account(parcel)
            return
        }
        let arena = extractor.arena
        arena.removeAll()
        // Moved out of the parcel while they grow: accessing a property of a class costs checks of exclusivity and
        // ownership.
        var (lines, ordinals, hashes) = (parcel.records.lines, parcel.records.ordinals, parcel.records.hashes)
        (parcel.records.lines, parcel.records.ordinals, parcel.records.hashes) = ([], [], [])
        let (all, file, first) = (raw.lines, parcel.place.file, Int(raw.firstLine))
        lines.reserveCapacity(all.count)
        ordinals.reserveCapacity(all.count)
        hashes.reserveCapacity(all.count)
        for line in all {
            let bytes = raw.bytes(of: line)
            if let fault = extractor.json.extract(bytes, into: arena) {
                parcel.records.faults.append(
                    MalformedLine(line: line, code: fault.code.name, message: fault.reason, byte: fault.position))
                continue
            }
            lines.append(line)
            ordinals.append(Ordinal(file: file, line: first + Int(line.lineDelta)))
            if lines.count == 1 { noteFields(bytes, ordinals[0]) }
            let key = self.key(bytes, arena, extractor, parcel)
            hashes.append(XXHash.hash128(key))
            if keepsKeys { parcel.records.keys.append(key) }
            if !keepsFields { arena.removeAll() }
        }
        (parcel.records.lines, parcel.records.ordinals, parcel.records.hashes) = (lines, ordinals, hashes)
        if keepsFields {
            if parcel.records.fields.paths != fields { parcel.records.fields = FieldTable(paths: fields) }
            try arena.copy(to: &parcel.records.fields)
        }
        account(parcel)
    }

    /// Counts the parsed lines.
    private func account(_ parcel: InputParcel) {
        let raw = parcel.raw
        parcel.losses.begin(parcel.records.lines.count)
        parcel.account.blank = Int(raw.blankLines)
        parcel.account.read = raw.lines.count + raw.overlong.count
        for fault in parcel.records.faults { parcel.account.countFault(fault.code) }
        for _ in raw.overlong { parcel.account.countFault("line-too-long") }
        noteOddLines(parcel)
        noteSeen(parcel)
        progress.read(records: raw.lines.count)
    }

    private func noteSeen(_ parcel: InputParcel) {
        let entries = parcel.records.fields.entries
        for (name, field) in watched {
            let rows = stride(from: field, to: entries.count, by: fields.count)
            if rows.contains(where: { entries[$0].kind != .missing }) { parcel.account.seen.insert(name) }
        }
    }

    private func noteOddLines(_ parcel: InputParcel) {
        let raw = parcel.raw
        var odd = Account.OddLines(malformed: parcel.account.quarantined, blank: parcel.account.blank)
        if raw.firstLine == 1, odd.malformed > 0, parcel.records.lines.isEmpty {
            let guess =
                raw.bytes.isEmpty
                ? raw.overlong.first?.head.withUnsafeBytes { ForeignFormat.guess($0) } : ForeignFormat.guess(raw.bytes)
            odd.looksLike = guess?.rawValue
        }
        parcel.account.countOdd(odd, of: parcel.place.file)
    }

    /// The fields that the dedupe compares, framed; the complete line if there is no dedupe or the record has none of
    /// the fields. No line equals framed fields, since their first byte can't start a JSON text. Valid until the next
    /// call.
    private func key(
        _ line: UnsafeRawBufferPointer, _ arena: FieldArena, _ extractor: Extractor, _ parcel: InputParcel
    ) -> UnsafeRawBufferPointer {
        guard !dedupeFields.isEmpty else { return line }
        let row = arena.rows - 1
        var missing = 0
        for (number, field) in dedupeFields.enumerated() where arena.kind(row, field) == .missing {
            parcel.account.countLacking(number)
            missing += 1
        }
        // Records that lack all dedupe fields are not duplicates of each other; compare their whole lines.
        guard missing < dedupeFields.count else {
            parcel.account.unkeyed += 1
            return line
        }
        return extractor.hasher.frame(arena, row: row, fields: dedupeFields)
    }

    /// The contents that the dedupe compares, for the lines in `rows`, and their second hashes.
    func readKeys(_ parcel: InputParcel) throws {
        let extractor = extractors.take()
        defer { extractors.giveBack(extractor) }
        for row in parcel.rows {
            let line = parcel.raw.bytes(of: parcel.raw.lines[Int(row)])
            if parcel.raw.isLong {
                guard readLongKey(parcel, line, extractor) else { throw Deduper.inputChanged }
                continue
            }
            extractor.arena.removeAll()
            guard dedupeFields.isEmpty || extractor.json.extract(line, into: extractor.arena) == nil else {
                throw Deduper.inputChanged
            }
            let key = self.key(line, extractor.arena, extractor, parcel)
            parcel.records.hashes.append(ContentComparison.mark(key))
            parcel.records.keys.append(key)
        }
    }

    /// The bytes of a record that are searched for names of fields.
    private static let namesWithin = 64 << 10

    func noteFields(_ line: UnsafeRawBufferPointer, _ ordinal: Ordinal) {
        firstFields.withLock { first in
            guard ordinal < first.ordinal else { return }
            var names: [String] = []
            var scanner = JSONScanner(Array(line.prefix(Self.namesWithin)))
            // The line has been checked; unreadable names are only left out of a message.
            try? scanner.forEachEntry { name, _ in names.append(name) }
            guard !names.isEmpty else { return }
            first = (ordinal, names)
        }
    }

    /// Where the pass begins among the parts.
    var partBorders: PartBorders { PartBorders(at: max(start.part, partRange.lowerBound)) }

    /// The field names of the first good record that has any near its beginning, for messages.
    var fieldNames: [String] { firstFields.withLock { $0.names } }

    /// Ends the run at the first malformed line under policy `fail`. Belongs to an ordered step, so that the error
    /// names the first one of the input, not the first one that a thread found.
    ///
    /// - Throws: `EngineError` with code `.data`.
    func refuseFaults(_ parcel: InputParcel) throws(EngineError) {
        guard spec.malformed == .fail else { return }
        let name = catalog.files[parcel.place.file].shown
        let long = parcel.raw.overlong.first
        if let fault = parcel.records.faults.first,
            long.map({ $0.line > parcel.raw.lineNumber(of: fault.line) }) ?? true
        {
            throw EngineError(
                .data,
                "\(name):\(parcel.raw.lineNumber(of: fault.line)): \(fault.message), at byte \(fault.byte) of the line; fix the line, or set `malformed: quarantine` to quarantine such lines"
            )
        }
        if let long {
            throw EngineError(.data, "\(name):\(long.line): \(Self.describe(long, limit: spec.maxRecord))")
        }
    }

    /// Ends the run at the first malformed line beyond the count that `max_malformed` allows; a share can be checked
    /// only at the end. Belongs to an ordered step.
    ///
    /// - Parameter before: the malformed lines of the blocks before.
    func refuseTooManyFaults(_ parcel: InputParcel, before: Int) throws(EngineError) {
        guard let allowed = spec.maxMalformed, !allowed.isShare else { return }
        let limit = allowed.resolve(of: 0)
        guard before + parcel.account.quarantined > limit else { return }
        let name = catalog.files[parcel.place.file].shown
        let index = limit - before
        let (line, message) =
            index < parcel.records.faults.count
            ? (parcel.raw.lineNumber(of: parcel.records.faults[index].line), parcel.records.faults[index].message)
            : (parcel.raw.overlong.first?.line ?? 0, "the line is longer than `max_record`")
        throw EngineError(
            .data,
            "\(name):\(line): \(message); this is malformed line number \(limit + 1), but `input.max_malformed` allows \(limit): fix the input, or allow more"
        )
    }

    private static func describe(_ long: OverlongLine, limit: Int) -> String {
        "the line has \(long.length) bytes, more than `max_record` allows (\(MemorySize.describe(limit))); raise `max_record` under `input`"
    }

    func progressed(records: Int) { progress.read(records: records) }

    /// Writes the parcel's malformed lines as quarantine lines, in input order.
    func encodeFaults(_ parcel: InputParcel, _ encoder: LineEncoder) {
        let raw = parcel.raw
        var overlong = raw.overlong[...]
        func encodeOverlong(before line: UInt64) {
            while let long = overlong.first, long.line < line {
                overlong.removeFirst()
                long.head.withUnsafeBytes { head in
                    encoder.appendFault(
                        Ordinal(file: parcel.place.file, line: Int(long.line)), byte: Int(long.byte),
                        error: Self.describe(long, limit: spec.maxRecord), raw: head, length: Int(long.length),
                        to: &parcel.output.quarantine)
                }
            }
        }
        for fault in parcel.records.faults {
            encodeOverlong(before: raw.lineNumber(of: fault.line))
            let bytes = raw.bytes(of: fault.line)
            encoder.appendFault(
                Ordinal(file: parcel.place.file, line: Int(raw.lineNumber(of: fault.line))),
                byte: Int(raw.byteOffset(of: fault.line)) + fault.byte, error: fault.message, raw: bytes,
                length: bytes.count, to: &parcel.output.quarantine)
        }
        encodeOverlong(before: .max)
    }
}

extension JSONFault.Code {
    /// A short name of the fault, used to count faults in `run.json`.
    var name: String {
        switch self {
        case .isArray: "not-an-object"
        case .isScalar: "not-an-object"
        case .secondValue: "two-values"
        case .trailing: "trailing-bytes"
        case .invalidUTF8: "invalid-utf8"
        case .loneSurrogate: "lone-surrogate"
        case .unterminated: "cut-short"
        case .tooDeep: "too-deep"
        default: "invalid-json"
        }
    }
}

extension FieldArena {
    /// Copies all rows to a table of the same fields.
    ///
    /// - Throws: `EngineError` if they exceed 4 GiB in total: in a line of 1 GiB, one field may contain another.
    func copy(to table: inout FieldTable) throws(EngineError) {
        guard UInt32(exactly: bytesInUse.count) != nil else { throw FieldColumns.tooLong }
        table.arena.removeAll(keepingCapacity: true)
        table.entries.removeAll(keepingCapacity: true)
        table.arena.append(contentsOf: bytesInUse)
        table.entries.reserveCapacity(rows * width)
        for row in 0..<rows {
            for field in 0..<width {
                let place = entry(row, field)
                table.entries.append(
                    FieldTable.Entry(
                        offset: UInt32(place.offset), length: UInt32(place.length),
                        kind: place.kind))
            }
        }
    }
}
