package import SluiceCore
import Synchronization

/// Answers of models and servers, durable before they are used: a file that only grows.
///
/// Several processes may share a log. Each appends under a lock of the file, after it has read what the others appended;
/// so a key has one answer, the first, whoever asked. Answers are appended several at a time with one flush: callers
/// collect those that arrive during a flush.
///
/// A tail that was being written when a process was killed is cut off. Damage anywhere else is an error that names the
/// file, and the log is not used.
package final class AnswerLog: @unchecked Sendable {
    // @unchecked: `known` and `mark` are only accessed with `turn` locked; the rest is constant or thread-safe.

    package static let fileName = "answers.log"
    /// Bytes that are written at a time.
    private static let piece = 256 << 10

    package let path: String
    private let file: OpenFile
    private let index: Mutex<AnswerIndex>
    /// Appending takes turns: a lock of a file does not exclude threads of one process.
    private let turn = Monitor()
    /// The end of the answers that are in the index. All of them are on disk.
    private var known = UInt64(AnswerLogMark.headerBytes)
    /// The newest mark in the file.
    private var mark = AnswerLogMark.first

    private typealias Written = (key: ContentHash, place: UInt64, end: UInt64)

    /// The number of answers that a log holds, or a little more: what to reserve for them.
    ///
    /// - Returns: 0 if there is no log.
    package static func count(in folder: String, fileSystem: FileSystem) throws(IOFailure) -> Int {
        let path = "\(folder)/\(fileName)"
        guard let status = try fileSystem.status(of: path), status.size >= AnswerLogMark.headerBytes else { return 0 }
        let mark = try mark(of: try fileSystem.openForReading(path))
        let tail = status.size > mark.length ? (status.size - mark.length) / UInt64(AnswerEntry.headBytes) : 0
        return Int(clamping: mark.count + tail)
    }

    /// The memory of an index of this many answers.
    package static func indexBytes(_ answers: Int) -> Int { AnswerIndex.bytes(for: answers) }

    /// Opens the log in a folder, or creates both, and reads it once from end to end, at the speed of the disk.
    ///
    /// - Parameters:
    ///   - capacity: the most answers that the log may hold, with those that others append meanwhile.
    ///   - isStopped: asked while the log is read.
    /// - Throws: `IOFailure` with code `.damagedAnswers` if it is damaged, `.stopped` after a stop.
    package init(
        folder: String, capacity: Int, fileSystem: FileSystem, isStopped: () -> Bool = { false }
    ) throws(IOFailure) {
        path = "\(folder)/\(Self.fileName)"
        try fileSystem.makeFolder(folder)
        file = try fileSystem.openForUpdating(path)
        index = Mutex(AnswerIndex(capacity: capacity))
        try locked { () throws(IOFailure) in try begin() }
        try fileSystem.flushFolder(folder)
        try fileSystem.flushFolder(Path.folder(of: folder))
        // What the mark covers does not change, so others may append meanwhile.
        mark = try Self.mark(of: file)
        try read(upTo: mark.length, isStopped)
        try locked { () throws(IOFailure) in try catchUp() }
    }

    /// The number of answers.
    package var count: Int { index.withLock { $0.count } }

    /// The answer to a question; nil if the log has none.
    ///
    /// - Throws: `IOFailure` with code `.damagedAnswers` if it is no longer as it was written.
    package func find(_ key: ContentHash) throws(IOFailure) -> [UInt8]? {
        for place in index.withLock({ $0.places(of: key) }) {
            if let answer = try answer(to: key, at: place) { return answer }
        }
        return nil
    }

    /// Appends answers and returns once they are on disk.
    ///
    /// - Returns: for each answer the one to use: an earlier one, if another process has asked the same meanwhile.
    /// - Throws: `IOFailure`; then none of the answers counts as written.
    package func append(_ answers: [(key: ContentHash, answer: [UInt8])]) throws(IOFailure) -> [[UInt8]] {
        turn.lock()
        defer { turn.unlock() }
        return try locked { () throws(IOFailure) in
            try catchUp()
            var used: [[UInt8]] = []
            let fresh: [Written]
            do throws(IOFailure) {
                fresh = try write(answers, &used)
                guard !fresh.isEmpty else { return used }
                try note(durable: known)
                try file.flush()
            } catch {
                // The next process must not take for durable what may not be.
                try? file.truncate(to: known)
                throw error
            }
            for entry in fresh {
                try insert(entry.key, at: entry.place)
                known = entry.end
            }
            return used
        }
    }

    /// Notes that all answers are on disk. After that, damage to any of them is found.
    package func close() throws(IOFailure) {
        turn.lock()
        defer { turn.unlock() }
        try locked { () throws(IOFailure) in
            try catchUp()
            guard mark.length < known else { return }
            try note(durable: known)
            try file.flush()
        }
    }

    // MARK: Reading

    private static func mark(of file: borrowing OpenFile) throws(IOFailure) -> AnswerLogMark {
        var header = [UInt8](repeating: 0, count: AnswerLogMark.headerBytes)
        let count = try file.read(into: &header, at: 0)
        guard count == header.count, let mark = AnswerLogMark.newest(in: header) else {
            throw damaged(file.path, "its header is damaged")
        }
        return mark
    }

    private static func damaged(_ path: String, at place: UInt64? = nil, _ what: String) -> IOFailure {
        IOFailure(
            .damagedAnswers, path: path, offset: place, found: "this answer log is damaged: \(what)",
            advice: "Restore it from a copy; or remove it, and everything that it answers is asked again.")
    }

    /// Reads answers that are on disk into the index.
    private func read(upTo end: UInt64, _ isStopped: () -> Bool = { false }) throws(IOFailure) {
        try readWhole(upTo: end, isStopped)
        guard known >= end else { throw Self.damaged(path, at: known, "the answer there is not as it was written") }
    }

    /// Reads answers into the index up to the first one that is not whole.
    private func readWhole(upTo end: UInt64, _ isStopped: () -> Bool = { false }) throws(IOFailure) {
        guard known < end else { return }
        var scan = AnswerScan(from: known, to: end)
        var seen = 0
        while let (key, place) = try scan.next(file) {
            try insert(key, at: place)
            known = scan.place
            seen += 1
            if seen % 1024 == 0, isStopped() { throw IOFailure(.stopped, path: path, found: "stopped") }
        }
    }

    private func insert(_ key: ContentHash, at place: UInt64) throws(IOFailure) {
        guard index.withLock({ $0.insert(key, at: place) }) else {
            throw IOFailure(
                .tooManyAnswers, path: path,
                found: "other processes have added more answers than there was room for in memory",
                advice: "Go on with the run; it takes room for all of them.")
        }
    }

    private func answer(to key: ContentHash, at place: UInt64) throws(IOFailure) -> [UInt8]? {
        // Most answers come with their head in one call.
        var bytes = [UInt8](repeating: 0, count: 4096)
        var got = try file.read(into: &bytes, at: place)
        guard let entry = bytes.withUnsafeBytes({ AnswerEntry($0) }), got >= AnswerEntry.headBytes else {
            throw Self.damaged(path, at: place, "the answer there is not as it was written")
        }
        guard entry.key == key else { return nil }
        let end = AnswerEntry.headBytes + entry.length
        if end > bytes.count {
            bytes = [UInt8](repeating: 0, count: end)
            got = try file.read(into: &bytes, at: place)
        }
        let hash = bytes.withUnsafeBytes { bytes in
            got < end ? nil : XXHash.hash64(UnsafeRawBufferPointer(rebasing: bytes[AnswerEntry.headBytes..<end]))
        }
        guard let hash, entry.isSound(hash: hash, at: place) else {
            throw Self.damaged(path, at: place, "the answer there is not as it was written")
        }
        return Array(bytes[AnswerEntry.headBytes..<end])
    }

    // MARK: Writing

    /// Runs `body` while no other process appends.
    private func locked<R>(_ body: () throws(IOFailure) -> R) throws(IOFailure) -> R {
        try file.lock()
        defer { file.unlock() }
        return try body()
    }

    /// Writes the header of a new log, also if a process was killed before it had written one.
    private func begin() throws(IOFailure) {
        let fresh = AnswerLogMark.newHeader
        guard try file.status().size < fresh.count else { return }
        var found = [UInt8](repeating: 0, count: fresh.count)
        let count = try file.read(into: &found, at: 0)
        guard found[..<count].elementsEqual(fresh[..<count]) else { throw Self.damaged(path, "it is cut off") }
        try file.write(bytes: fresh, at: 0)
        try file.flush()
    }

    /// Reads what other processes have appended, and cuts off what one of them was writing when it ended.
    private func catchUp() throws(IOFailure) {
        mark = try Self.mark(of: file)
        try read(upTo: mark.length)
        let (size, before) = (try file.status().size, known)
        guard size >= known else { throw Self.damaged(path, at: size, "it is cut off there") }
        guard size > known else { return }
        try readWhole(upTo: size)
        if known < size { try file.truncate(to: known) }
        // Perhaps the process ended before its flush.
        if known > before { try file.flush() }
    }

    /// States in the header that the file is on disk up to `length`.
    private func note(durable length: UInt64) throws(IOFailure) {
        mark = AnswerLogMark(length: length, count: UInt64(count), number: mark.number + 1)
        try file.write(bytes: mark.bytes, at: mark.place)
    }

    /// Writes the answers to keys that have none.
    ///
    /// - Parameter used: gets the answer to use for each.
    /// - Returns: where they are.
    private func write(
        _ answers: [(key: ContentHash, answer: [UInt8])], _ used: inout [[UInt8]]
    ) throws(IOFailure) -> [Written] {
        var fresh: [Written] = []
        var own: [ContentHash: Int] = [:]
        var (place, written) = (known, known)
        var buffer: [UInt8] = []
        for (key, answer) in answers {
            if let same = own[key] {
                used.append(used[same])
                continue
            }
            if let earlier = try find(key) {
                used.append(earlier)
                continue
            }
            guard answer.count <= AnswerEntry.longest, place < AnswerIndex.mostBytes else {
                throw IOFailure(.cannotWrite, path: path, found: "an answer of \(answer.count) bytes is too long")
            }
            own[key] = used.count
            used.append(answer)
            let hash = answer.withUnsafeBytes { XXHash.hash64($0) }
            let entry = AnswerEntry(key, length: answer.count, hash: hash, at: place)
            buffer += entry.bytes
            buffer += answer
            let end = place + entry.size
            buffer.append(contentsOf: repeatElement(0, count: Int(end - written) - buffer.count))
            fresh.append((key, place, end))
            place = end
            if buffer.count >= Self.piece {
                try file.write(bytes: buffer, at: written)
                written = place
                buffer.removeAll(keepingCapacity: true)
            }
        }
        if !buffer.isEmpty { try file.write(bytes: buffer, at: written) }
        return fresh
    }
}

extension OpenFile {
    fileprivate func write(bytes: [UInt8], at offset: UInt64) throws(IOFailure) {
        var failure: IOFailure?
        bytes.withUnsafeBytes { bytes in
            do throws(IOFailure) { try write(bytes, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}
