import SluiceCore
import SluiceIO
import Synchronization

/// How the input of a pass is read: a lane for each file.
extension InputPass {
    /// A conveyor that reads the input and passes its blocks through `steps`; the last step returns them.
    func conveyor(
        _ steps: [Conveyor<InputParcel>.Step], limit: Int, lanes: Int, isStopped: @escaping () -> Bool
    ) -> Conveyor<InputParcel> {
        Conveyor(
            steps: steps, limit: limit, lanes: lanes, isStopped: isStopped,
            source: Conveyor.Source(open: { [self] in try lane($0) }, assist: { [sources] in sources.unpackAhead() }))
    }

    /// A lane for a conveyor: the blocks of a file.
    ///
    /// - Parameter index: counted from the first file of the pass.
    private func lane(_ index: Int) throws -> Conveyor<InputParcel>.Lane? {
        let number = files.lowerBound + index
        guard number < files.upperBound else { return nil }
        if number < start.file, !replays { return { _ in .end } }
        let lane = try InputLane(number, of: self)
        return { isFirst in try lane.next(isFirst) }
    }

    /// Reads the files before the position where a run resumes, if they aren't read again otherwise, to check that they
    /// are unchanged.
    func checkSkippedFiles(isStopped: () -> Bool) throws {
        guard !replays else { return }
        for number in files.lowerBound..<max(files.lowerBound, min(start.file, files.upperBound)) {
            let file = catalog.files[number]
            do {
                let found = try catalog.store.digest(of: file.path) { count in
                    progress.read(bytes: count)
                    return isStopped()
                }
                guard let found else { throw EngineError.stopped }
                guard expected[number]?.hash == found.hash else { throw changed(number) }
            } catch let failure as IOFailure {
                throw InputLane.error(failure, file, shares)
            }
        }
    }

    func changed(_ number: Int) -> EngineError {
        EngineError(
            .data,
            "\(catalog.files[number].shown) changed while it was read, or since the run stopped; start over when nothing writes to it",
            remedies: [.restart])
    }

    /// Takes back a parcel that has left the pass, or that wasn't used.
    func giveBack(_ parcel: InputParcel) {
        if parcel.longBytes > 0 {
            parcel.releaseLong()
            long.giveBack(parcel.longBytes)
            parcel.longBytes = 0
        }
        parcels.giveBack(parcel)
    }

    /// The digest and number of lines of each file read completely, or of the range of it that the pass reads, by file
    /// index.
    var readFiles: [Int: FileFacts] { digests.withLock { $0 } }
}

/// One file of a pass as it is read, range after range.
final class InputLane {
    private let pass: InputPass
    private let number: Int
    private let file: InputCatalog.File
    private let digest: FileDigest
    /// Only the first lane gets a large window.
    private let gate = WindowGate(freeLog: MemoryShares.leastWindowLog)
    /// The parts of the input that the file has, and the one that is read.
    private let parts: Range<Int>
    private var part: Int
    private var reader: any RecordReader
    private let firstLine: UInt64
    /// The stored bytes of which the progress knows.
    private var seen: UInt64
    /// Memory for the long record of which a part has been read.
    private var held = 0

    fileprivate init(_ number: Int, of pass: InputPass) throws {
        self.pass = pass
        self.number = number
        file = pass.catalog.files[number]
        // The part of the file that the stopped run read must be unchanged.
        digest = FileDigest(expecting: number == pass.start.file ? pass.start.read : nil)
        parts = pass.parts.parts(of: number).clamped(to: pass.partRange)
        part = parts.lowerBound
        firstLine = 1 + UInt64(pass.linesBefore)
        let range = pass.parts.all[part].range
        seen = range.isWhole ? 0 : range.stored.lowerBound
        reader = try Self.open(range, of: file, pass, digest, gate, firstLine: firstLine)
        pass.sources.add(reader.source, of: number)
    }

    private static func open(
        _ range: FileRange, of file: InputCatalog.File, _ pass: InputPass, _ digest: FileDigest, _ gate: WindowGate,
        firstLine: UInt64
    ) throws -> any RecordReader {
        do throws(IOFailure) {
            var options = InputOptions(
                windowLogMax: pass.windowLogMax, digest: digest, gate: gate,
                readAheadFrames: pass.shares.readAhead / MemoryShares.perFrameAhead,
                readAheadBytes: pass.shares.readAhead)
            options.isStopped = pass.isStopped
            let source = try pass.format.open(range, of: file.path, in: pass.catalog.store, options: options)
            return pass.format.makeReader(source, limits: pass.limits, firstLine: firstLine)
        } catch {
            throw Self.error(error, file, pass.shares)
        }
    }

    /// The next block.
    ///
    /// - Parameter isFirst: whether all earlier files have been read.
    func next(_ isFirst: Bool) throws -> Conveyor<InputParcel>.Reading {
        gate.isOpen = isFirst
        let parcel = pass.parcels.take()
        parcel.reset()
        parcel.place.file = number
        while true {
            guard let step = try read(parcel, isFirst) else { throw pass.long.overflow }
            switch step {
            case .waiting:
                pass.giveBack(parcel)
                return .waiting
            case .end:
                if try openNext() { continue }
                pass.giveBack(parcel)
                try end()
                return .end
            case .block:
                parcel.place.isReplay = isReplay(parcel)
                if parcel.place.isReplay, !pass.replays { continue }
                try deliver(parcel)
                return .item(parcel)
            }
        }
    }

    private func isReplay(_ parcel: InputParcel) -> Bool {
        number < pass.start.file || (number == pass.start.file && parcel.raw.firstByte < pass.start.byte)
    }

    private func deliver(_ parcel: InputParcel) throws(EngineError) {
        parcel.place.part = part
        parcel.place.endByte = reader.nextByte
        parcel.place.bytes = parcel.raw.count
        guard !digest.differs else { throw pass.changed(number) }
        try Self.checkLine(reader.nextLine - 1, of: file.shown)
        parcel.place.read = digest.mark
        let offset = reader.source.fileOffset
        pass.progress.read(bytes: Int(offset > seen ? offset - seen : 0))
        seen = max(seen, offset)
    }

    /// Goes on with the next range of the file; false if there is none.
    private func openNext() throws -> Bool {
        guard part + 1 < parts.upperBound else { return false }
        pass.sources.remove(number)
        part += 1
        reader = try Self.open(
            pass.parts.all[part].range, of: file, pass, digest, gate, firstLine: reader.nextLine)
        pass.sources.add(reader.source, of: number)
        return true
    }

    private func end() throws(EngineError) {
        pass.sources.remove(number)
        let range = pass.parts.all[part].range
        let last = range.isWhole ? file.size : range.stored.upperBound
        pass.progress.read(bytes: Int(last > seen ? last - seen : 0))
        let facts = FileFacts(hash: digest.value, lines: Int(reader.nextLine - firstLine))
        guard !digest.differsAtEnd, pass.expected[number].map({ $0 == facts }) ?? true else {
            throw pass.changed(number)
        }
        pass.digests.withLock { $0[number] = facts }
    }

    /// Reads a block; one with a long record only while its memory is available.
    ///
    /// - Returns: nil if the dedupe's table has the memory for the record.
    private func read(_ parcel: InputParcel, _ isFirst: Bool) throws(EngineError) -> ReadStep? {
        let long = pass.long
        long.giveBack(parcel.longBytes)
        parcel.longBytes = 0
        var answer = LongRecords.Answer.reserved
        var taken = held
        do throws(IOFailure) {
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
        } catch {
            throw Self.error(error, file, pass.shares, reader)
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
}

// MARK: Errors

extension InputLane {
    static func error(
        _ failure: IOFailure, _ file: InputCatalog.File, _ shares: MemoryShares, _ reader: (any RecordReader)? = nil
    ) -> EngineError {
        if failure.code == .stopped { return .stopped }
        var failure = failure
        failure.path = file.path == "-" ? "standard input" : file.shown
        var isTooLarge = false
        if failure.code == .windowTooLarge {
            let window = failure.window ?? .max
            isTooLarge = window > 1 << UInt64(InputPass.largestWindowLog)
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
    private static func known(_ failure: IOFailure, _ reader: any RecordReader) -> String {
        if failure.code == .corruptStream {
            // Bytes may be wrong before the damage shows; only the end of a frame confirms them.
            let sound = failure.soundBytes ?? 0
            return sound > 0
                ? " Only its first \(sound) unpacked bytes, in complete frames before the damaged one, are known to be good."
                : " None of the bytes read before are known to be good."
        }
        return " The \(reader.nextLine - 1) \(reader.unit) before it are complete."
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
