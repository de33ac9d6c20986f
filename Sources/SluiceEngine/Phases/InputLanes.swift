import SluiceCore
import SluiceIO
import Synchronization

/// How the input of a pass is read: a lane for each file.
extension InputPass {
    /// A lane for a conveyor: the blocks of a file.
    ///
    /// - Parameter index: counted from the first file of the pass.
    private func lane(_ index: Int) throws -> Conveyor<Parcel>.Lane? {
        let number = files.lowerBound + index
        guard number < files.upperBound else { return nil }
        if number < start.file, !replays { return { _ in .end } }
        let file = catalog.files[number]
        // The part of the file that the stopped run read must be unchanged.
        let digest = FileDigest(expecting: number == start.file ? start.read : nil)
        // Only the first lane gets a large window.
        let gate = WindowGate(freeLog: MemoryShares.leastWindowLog)
        let source = try open(file, digest, gate)
        sources.add(source, of: number)
        let reader = BlockReader(source, limits: limits)
        var seen: UInt64 = 0
        /// Memory for the long record of which a part has been read.
        var held = 0
        return { [self] isFirst in
            gate.isOpen = isFirst
            let parcel = parcels.take()
            parcel.reset()
            parcel.file = number
            var (isChanged, isBlocked) = (false, false)
            do throws(IOFailure) {
                reading: repeat {
                    switch try read(parcel, reader, &held, isFirst) {
                    case nil:
                        isBlocked = true
                        break reading
                    case .block: break
                    case .waiting:
                        giveBack(parcel)
                        return .waiting
                    case .end:
                        progress.read(bytes: Int(file.size > seen ? file.size - seen : 0))
                        let facts = Checkpoint.FileFacts(hash: digest.value, lines: Int(reader.nextLine) - 1)
                        isChanged = digest.differsAtEnd || !(expected[number].map { $0 == facts } ?? true)
                        if isChanged { break reading }
                        digests.withLock { $0[number] = facts }
                        sources.remove(number)
                        giveBack(parcel)
                        return .end
                    }
                    parcel.isReplay = number < start.file || (number == start.file && parcel.raw.firstByte < start.byte)
                } while parcel.isReplay && !replays
                parcel.endByte = reader.nextByte
                parcel.inputBytes = parcel.raw.count
            } catch {
                throw engineError(error, file, reader)
            }
            if isBlocked { throw long.overflow }
            guard !isChanged, !digest.differs else { throw changed(number) }
            try Self.checkLine(reader.nextLine - 1, of: file.shown)
            parcel.read = digest.mark
            let offset = source.fileOffset
            progress.read(bytes: Int(offset > seen ? offset - seen : 0))
            seen = max(seen, offset)
            return .item(parcel)
        }
    }

    /// An ordinal has a fixed number of bits for the line; a higher number would be a line of the next file.
    static func checkLine(_ line: UInt64, of file: String) throws(EngineError) {
        guard line > UInt64(Ordinal.maximumLine) else { return }
        throw EngineError(
            .data,
            "\(file) has more than \(Ordinal.maximumLine) lines; split it into several files, which give the same result"
        )
    }

    /// Reads the files before the position where a run resumes, if they aren't read again otherwise, to check that they
    /// are unchanged.
    func checkSkippedFiles(isStopped: () -> Bool) throws {
        guard !replays else { return }
        for number in files.lowerBound..<max(files.lowerBound, min(start.file, files.upperBound)) {
            let file = catalog.files[number]
            do {
                let found = try fileSystem.digest(of: file.path) { count in
                    progress.read(bytes: count)
                    return isStopped()
                }
                guard let found else { throw EngineError.stopped }
                guard expected[number]?.hash == found.hash else { throw changed(number) }
            } catch let failure as IOFailure {
                throw engineError(failure, file, nil)
            }
        }
    }

    func changed(_ number: Int) -> EngineError {
        EngineError(
            .data,
            "\(catalog.files[number].shown) changed while it was read, or since the run stopped; start over when nothing writes to it",
            remedies: [.restart])
    }

    /// Reads a block; one with a long record only while its memory is available.
    ///
    /// - Parameter held: the memory for the part of a long record that the reader holds.
    /// - Returns: nil if the dedupe's table has the memory for the record.
    private func read(
        _ parcel: Parcel, _ reader: BlockReader, _ held: inout Int, _ isFirst: Bool
    ) throws(IOFailure) -> BlockReader.Step? {
        long.giveBack(parcel.longBytes)
        parcel.longBytes = 0
        var answer = LongRecords.Answer.reserved
        var taken = held
        let step = try reader.next(into: parcel.raw) { length in
            guard isFirst else { return false }
            answer = long.reserve(&taken, length: length)
            return answer == .reserved
        }
        held = taken
        if answer == .tableIsInTheWay { return nil }
        guard step == .block else { return step }
        parcel.longBytes = long.settle(held, length: parcel.raw.isLong ? parcel.raw.count : 0)
        held = 0
        return step
    }

    /// Takes back a parcel that has left the pass, or that wasn't used.
    func giveBack(_ parcel: Parcel) {
        if parcel.longBytes > 0 {
            parcel.releaseLong()
            long.giveBack(parcel.longBytes)
            parcel.longBytes = 0
        }
        parcels.giveBack(parcel)
    }

    /// A conveyor that reads the input and passes its blocks through `steps`; the last step returns them.
    func conveyor(
        _ steps: [Conveyor<Parcel>.Step], limit: Int, lanes: Int, isStopped: @escaping () -> Bool
    ) -> Conveyor<Parcel> {
        Conveyor(
            steps: steps, limit: limit, lanes: lanes, isStopped: isStopped,
            source: Conveyor.Source(open: { [self] in try lane($0) }, assist: { [sources] in sources.unpackAhead() }))
    }

    /// The digest and number of lines of each file read completely, by file index.
    var readFiles: [Int: Checkpoint.FileFacts] { digests.withLock { $0 } }

    private func open(
        _ file: InputCatalog.File, _ digest: FileDigest, _ gate: WindowGate
    ) throws -> any ByteSource {
        do throws(IOFailure) {
            var options = InputOptions(
                windowLogMax: windowLogMax, digest: digest, gate: gate,
                readAheadFrames: shares.readAhead / MemoryShares.perFrameAhead, readAheadBytes: shares.readAhead)
            options.isStopped = isStopped
            return try fileSystem.openInput(file.path, options: options)
        } catch {
            throw engineError(error, file, nil)
        }
    }

    private func engineError(_ failure: IOFailure, _ file: InputCatalog.File, _ reader: BlockReader?) -> EngineError {
        if failure.code == .stopped { return .stopped }
        var failure = failure
        failure.path = file.path == "-" ? "standard input" : file.shown
        var isTooLarge = false
        if failure.code == .windowTooLarge {
            let window = failure.window ?? .max
            isTooLarge = window > 1 << UInt64(Self.largestWindowLog)
            failure.advice =
                isTooLarge
                ? "Compress the file again, with `zstd --long=27` at most."
                : "Raise `memory` to at least \(MemorySize.spell(shares.smallest(window: Int(window)))), or compress the file again without `--long`."
        }
        var message = failure.description
        if let reader, reader.nextLine > 1 { message += known(failure, reader) }
        // No budget allows such a window, so there is nothing to resume.
        return isTooLarge ? EngineError(.data, message) : EngineError(failure, message: message)
    }

    /// States what is known about the lines before a failure.
    private func known(_ failure: IOFailure, _ reader: BlockReader) -> String {
        if failure.code == .corruptStream {
            // Bytes may be wrong before the damage shows; only the end of a frame confirms them.
            let sound = failure.soundBytes ?? 0
            return sound > 0
                ? " Only its first \(sound) unpacked bytes, in complete frames before the damaged one, are known to be good."
                : " None of the bytes read before are known to be good."
        }
        let what = reader.layout == .array ? "elements" : "lines"
        return " The \(reader.nextLine - 1) \(what) before it are complete."
    }
}

/// The open inputs of a pass, for idle threads that unpack ahead of the readers.
final class OpenSources: @unchecked Sendable {
    // @unchecked: `all` is only accessed with `monitor` locked; any thread may call `unpackAhead`.
    private let monitor = Monitor()
    private var all: [(file: Int, source: any ByteSource)] = []

    func add(_ source: any ByteSource, of file: Int) { monitor.locked { all.append((file, source)) } }

    func remove(_ file: Int) { monitor.locked { all.removeAll { $0.file == file } } }

    /// Unpacks a piece of the first file that has one; false if none has.
    func unpackAhead() -> Bool {
        monitor.locked { all.map(\.source) }.contains { $0.unpackAhead() }
    }
}
