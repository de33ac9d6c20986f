import Glibc
import SluiceCore
import Synchronization
import Testing

@testable import SluiceIO

/// The log of answers: what was acknowledged is there after any stop, what is damaged is never used.
@Suite struct AnswerLogTests {
    private let folder: TemporaryFolder
    private var path: String { "\(folder.path)/answers.log" }

    init() { folder = TemporaryFolder() }

    private func open(capacity: Int = 10_000, _ fileSystem: FileSystem = .local) throws(IOFailure) -> AnswerLog {
        try AnswerLog(folder: folder.path, capacity: capacity, fileSystem: fileSystem)
    }

    /// Different lengths, some of none and some longer than any buffer.
    private func answer(_ number: Int) -> [UInt8] {
        let length = number % 7 == 0 ? 0 : number % 101 == 50 ? 300_000 : Int(Seed.mix(UInt64(number)) % 40)
        return (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) }
    }

    private func group(_ numbers: Range<Int>) -> [(key: ContentHash, answer: [UInt8])] {
        numbers.map { (key($0), answer($0)) }
    }

    private func write(_ bytes: [UInt8]) throws {
        let file = try FileSystem.local.create(path)
        try bytes.withUnsafeBytes { try file.write($0) }
    }

    private func bytes() throws -> [UInt8] { try FileSystem.local.contents(of: path) }

    @Test func answersAreFoundAndStay() throws {
        let log = try open()
        #expect(try log.find(key(1)) == nil)
        for start in stride(from: 0, to: 600, by: 40) {
            #expect(try log.append(group(start..<(start + 40))) == (start..<(start + 40)).map(answer))
        }
        // A key has one answer: the first.
        #expect(try log.append([(key(5), [1, 2, 3]), (key(700), [7]), (key(700), [8])]) == [answer(5), [7], [7]])
        for _ in 0..<2 {
            let again = try open()
            #expect(again.count == 601)
            #expect(try AnswerLog.count(in: folder.path, fileSystem: .local) >= 601)
            for number in 0..<600 { #expect(try again.find(key(number)) == answer(number)) }
            #expect(try again.find(key(700)) == [7])
            #expect(try again.find(key(601)) == nil)
            try again.close()
        }
        #expect(try AnswerLog.count(in: folder.path, fileSystem: .local) == 601)
    }

    @Test func aGroupOfAnswersIsFlushedOnce() throws {
        let flushes = Atomic<Int>(0)
        let log = try open(
            FileSystem.local.intercepting { operation, _ in
                if operation == .flush { flushes.add(1, ordering: .relaxed) }
                return .proceed
            })
        let before = flushes.load(ordering: .relaxed)
        _ = try log.append(group(0..<256))
        let after = flushes.load(ordering: .relaxed)
        #expect(after == before + 1)
    }

    /// A process is killed while it appends: at every byte of what it writes, what was acknowledged before is there, the
    /// answers that are whole count, and the log goes on.
    @Test func killedAtAnyByte() throws {
        do {
            let log = try open()
            _ = try log.append(group(1..<6))
            _ = try log.append(group(8..<12))
        }
        let before = try bytes()
        _ = try open().append(group(15..<19))
        let after = try bytes()
        for marked in [false, true] {
            let start =
                Array((marked ? after : before)[..<AnswerLogMark.headerBytes]) + before[AnswerLogMark.headerBytes...]
            for length in before.count...after.count {
                for tail in [[], [UInt8](repeating: 0, count: 100)] {
                    try write(start + Array(after[before.count..<length]) + tail)
                    let log = try open()
                    for number in Array(1..<6) + Array(8..<12) { #expect(try log.find(key(number)) == answer(number)) }
                    for number in 15..<19 {
                        let found = try log.find(key(number))
                        #expect(found == nil || found == answer(number))
                    }
                    #expect(log.count == 9 || length > before.count)
                    #expect(log.count < 13 || length > after.count - 8)
                    _ = try log.append(group(15..<22))
                    try log.close()
                    let again = try open()
                    #expect(again.count == 16)
                    for number in 15..<22 { #expect(try again.find(key(number)) == answer(number)) }
                }
            }
        }
    }

    /// The header is torn: as it is made, and in any byte of a mark that is being written.
    @Test func killedWhileTheHeaderIsWritten() throws {
        let fresh = AnswerLogMark.newHeader
        for length in 0..<fresh.count {
            try write(Array(fresh[..<length]))
            #expect(try AnswerLog.count(in: folder.path, fileSystem: .local) == 0)
            _ = try open().append(group(1..<3))
            #expect(try open().count == 2)
        }
        let log = try open()
        _ = try log.append(group(3..<5))
        let before = try bytes()
        try log.close()
        let after = try bytes()
        for length in 0..<AnswerLogMark.headerBytes {
            try write(Array(after[..<length]) + Array(before[length...]))
            #expect(try open().count == 4)
        }
    }

    /// Any byte that was on disk is changed: the log is refused with its name, or says the same as before.
    @Test func damageIsNeverUsed() throws {
        do {
            let log = try open()
            _ = try log.append(group(1..<6))
            _ = try log.append(group(8..<12))
            try log.close()
        }
        let sound = try bytes()
        var refused = 0
        for place in sound.indices {
            var broken = sound
            broken[place] ^= 0x41
            try write(broken)
            do throws(IOFailure) {
                let log = try open()
                for number in Array(1..<6) + Array(8..<12) {
                    let found = try log.find(key(number))
                    #expect(found == answer(number))
                }
            } catch {
                refused += 1
                #expect(error.code == .damagedAnswers)
                #expect(error.path == path)
            }
        }
        // Only the fillings of at most seven bytes and the spare half of the header are without meaning.
        #expect(refused >= sound.count - AnswerLogMark.headerBytes - 9 * 7)
        for length in AnswerLogMark.headerBytes..<sound.count {
            try write(Array(sound[..<length]))
            let failure = #expect(throws: IOFailure.self) { try open() }
            #expect(failure?.code == .damagedAnswers)
        }
    }

    @Test func damageAfterTheLogWasOpenedIsFound() throws {
        let log = try open()
        _ = try log.append(group(1..<2))
        var broken = try bytes()
        broken[AnswerLogMark.headerBytes + AnswerEntry.headBytes] ^= 1
        let file = try FileSystem.local.openForUpdating(path)
        try broken.withUnsafeBytes { try file.write($0, at: 0) }
        let failure = #expect(throws: IOFailure.self) { try log.find(key(1)) }
        #expect(failure?.code == .damagedAnswers)
    }

    /// A lock belongs to an opening of a file, not to a process, so two logs on one file are like two processes: whatever
    /// the order, everybody uses the same answer to a question, and none is lost.
    @Test func sharedByTwoProcesses() throws {
        let used = Mutex<[Int: Set<[UInt8]>]>([:])
        let failures = Atomic<Int>(0)
        let logs = [try open(), try open(), try open()]
        @Sendable func work(_ thread: Int) {
            var random = SplitMix64(state: UInt64(thread))
            for round in 0..<40 {
                let numbers = Set((0..<5).map { _ in Int(random.next(below: 300)) }).sorted()
                let own = numbers.map { (key($0), Array("\($0) by \(thread) in \(round)".utf8)) }
                guard let all = try? logs[thread % 3].append(own) else {
                    failures.add(1, ordering: .relaxed)
                    continue
                }
                used.withLock { used in
                    for (number, answer) in zip(numbers, all) { used[number, default: []].insert(answer) }
                }
            }
        }
        let threads = (0..<6).compactMap { thread in NativeThread(stackBytes: 1 << 20) { work(thread) } }
        for thread in threads { thread.join() }
        #expect(threads.count == 6)
        let failed = failures.load(ordering: .relaxed)
        #expect(failed == 0)
        let known = used.withLock { $0 }
        #expect(known.values.allSatisfy { $0.count == 1 })
        let last = try open()
        #expect(last.count == known.count)
        for (number, answers) in known { #expect(try last.find(key(number)) == answers.first) }
    }

    /// Every call fails in turn: what was acknowledged is there afterwards.
    @Test func everyCallFails() throws {
        for fault in [FileSystem.Intervention.fail(EIO), .tear(after: 11, ENOSPC)] {
            var number = 1
            while true {
                try FileSystem.local.remove(path)
                let calls = Atomic<Int>(0)
                let failing = number
                let faulty = FileSystem.local.intercepting { _, _ in
                    calls.add(1, ordering: .relaxed).newValue == failing ? fault : .proceed
                }
                var acknowledged: [Int] = []
                do throws(IOFailure) {
                    let log = try open(faulty)
                    for start in [1, 8] {
                        _ = try log.append(group(start..<(start + 4)))
                        acknowledged += start..<(start + 4)
                    }
                    try log.close()
                } catch {
                    #expect(error.code != .damagedAnswers, "\(error)")
                }
                let log = try open()
                for number in acknowledged { #expect(try log.find(key(number)) == answer(number)) }
                if calls.load(ordering: .relaxed) < failing { break }
                number += 1
            }
            #expect(number > 15)
        }
    }

    @Test func anIndexThatIsFullSaysSo() throws {
        let log = try open(capacity: 4)
        _ = try log.append(group(1..<5))
        let failure = #expect(throws: IOFailure.self) { try log.append(group(8..<9)) }
        #expect(failure?.code == .tooManyAnswers)
        // It is on disk all the same.
        #expect(try open(capacity: 5).find(key(8)) == answer(8))
        #expect(AnswerLog.indexBytes(3_000_000) == 8 * (4_000_000 + 8))
    }
}

private func key(_ number: Int) -> ContentHash { withUnsafeBytes(of: number) { XXHash.hash128($0) } }
