import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceKit
import SluiceTesting
import Testing

/// Damaged work files: a resume reports them, or still gives the right bytes.
@Suite(.serialized)
struct DamageTests {
    @Test(arguments: Case.allCases)
    func damagedWorkFilesAreNotBelieved(_ kind: Case) throws {
        let (library, whole) = try Library.prepared(kind)
        let work = library.work
        let counter = FaultyFileSystem(failing: 0)
        try library.run("counted", counter.fileSystem)
        var random = SplitMix64(state: testSeed)
        var tally = (damages: 0, refused: 0, right: 0)
        // Runs stopped at several points, the last during the final renames.
        for part in kind == .select && !isSoak ? [45, 75, 90, 97] : [30, 55, 70, 80, 90, 96, 98, 99] {
            work.remove("stopped")
            let faulty = FaultyFileSystem(failing: counter.calls * part / 100, with: .error(ENOSPC), .fromThenOn)
            guard (try? library.run("stopped", faulty.fileSystem)) == nil else { continue }
            var names = try Workspace.files(under: work("stopped")).map {
                String($0.dropFirst(work("stopped").count + 1))
            }
            names = names.filter { $0.hasPrefix("work/") || $0.hasSuffix(".partial") }
            if !isSoak { names = names.shuffled(using: &random).prefix(8).sorted() }
            for name in names {
                for _ in 0..<(isSoak ? 20 : kind == .select ? 1 : 2) {
                    work.remove("out")
                    try work.copy("stopped", to: "out")
                    let what = try damage(work("out/\(name)"), &random)
                    tally.damages += 1
                    do {
                        try library.run("out", .local, resume: true)
                        tally.right += 1
                        #expect(try Snapshot(work("out")) == whole, "\(name) \(what), stopped at \(part) %")
                    } catch let error as EngineError {
                        tally.refused += 1
                        let file =
                            name == "work/plan.json" ? "/out" : name.split(separator: "/").last.map(String.init) ?? ""
                        #expect(error.remedies.contains(.restart), "\(name) \(what), stopped at \(part) %: \(error)")
                        #expect(error.message.contains(file), "\(name) \(what), stopped at \(part) %: \(error)")
                        let left = try Snapshot(work("out"))
                        #expect(left.isHarmless(beside: whole), "\(name) \(what): \(left)")
                    } catch {
                        Issue.record("\(name) \(what), stopped at \(part) %: \(type(of: error)): \(error)")
                    }
                }
            }
        }
        note(
            "\(kind): \(tally.damages) damaged work files: \(tally.refused) refused by name, \(tally.right) right results"
        )
        #expect(tally.damages > 20)
    }

    /// An output that has its final name, in a run that was stopped before all had: its end is part of the result, too.
    @Test(arguments: [Case.dedupe, .uncompressed])
    func theEndOfAFinishedOutputIsChecked(_ kind: Case) throws {
        let (library, _) = try Library.prepared(kind)
        let work = library.work
        let counter = FaultyFileSystem(failing: 0)
        try library.run("counted", counter.fileSystem)
        var seen: Set<String> = []
        for call in counter.calls * 3 / 4..<counter.calls {
            work.remove("stopped")
            let faulty = FaultyFileSystem(failing: call, with: .error(ENOSPC), .fromThenOn)
            guard (try? library.run("stopped", faulty.fileSystem)) == nil else { continue }
            let results = try Workspace.files(under: work("stopped")).filter { $0.contains("/work/result/") }
            for path in results where path.hasSuffix(".zst") || path.hasSuffix(".jsonl") {
                let name = String(path.dropFirst(work("stopped").count + 1))
                guard seen.insert(name).inserted else { continue }
                for addsAByte in [false, true] {
                    work.remove("out")
                    try work.copy("stopped", to: "out")
                    var bytes = try FileSystem.local.contents(of: work("out/\(name)"))
                    if addsAByte { bytes.append(10) } else { bytes[bytes.count - 1] ^= 2 }
                    let file = try FileSystem.local.create(work("out/\(name)"))
                    try bytes.withUnsafeBytes { try file.write($0) }
                    let error = #expect(throws: EngineError.self, "\(name) at call \(call)") {
                        try library.run("out", .local, resume: true)
                    }
                    #expect(
                        error?.remedies.contains(.restart) ?? true,
                        "\(name): \(error.map(String.init(describing:)) ?? "")")
                }
            }
        }
        #expect(seen.count >= 2, "\(seen)")
    }

    private func damage(_ path: String, _ random: inout SplitMix64) throws -> String {
        var bytes = try FileSystem.local.contents(of: path)
        defer {
            if let file = try? FileSystem.local.create(path) { try? bytes.withUnsafeBytes { try file.write($0) } }
        }
        guard !bytes.isEmpty else {
            bytes = [1, 2, 3]
            return "lengthened"
        }
        let place = Int(random.next(below: UInt64(bytes.count)))
        if random.next(below: 2) == 0 {
            bytes.removeSubrange(place...)
            return "cut to \(place)"
        }
        let bit = UInt8(1) << UInt8(random.next(below: 8))
        bytes[place] ^= bit
        return "flipped bit \(bit) of byte \(place) of \(bytes.count)"
    }

    @Test func aSmallerLedgerShareAfterAStopWritesOverNothing() throws {
        // Ledger runs are named after their phase: see LedgerRuns.begin.
        let work = try Workspace()
        try Corpus.write(300, to: work.path, all: false)
        let library = Library(work, .select)
        let whole = try library.undisturbed()
        let counter = FaultyFileSystem(failing: 0)
        try library.run("counted", counter.fileSystem)
        let faulty = FaultyFileSystem(failing: counter.calls * 85 / 100, with: .error(ENOSPC), .fromThenOn)
        #expect(throws: EngineError.self) { try library.run("out", faulty.fileSystem) }
        let runs = try Workspace.files(under: work("out/work")).filter { $0.hasSuffix(".run") }.map(Path.name(of:))
        // However many runs a phase has, none takes the name of another phase's run.
        #expect(runs.contains { $0.hasPrefix("ledger-reading-") } && runs.contains { $0.hasPrefix("ledger-choice-") })
        try library.run("out", .local, resume: true)
        #expect(try Snapshot(work("out")) == whole)
    }

    @Test func aColumnWrittenAgainIsReadAnew() throws {
        let work = try Workspace()
        try Corpus.write(300, to: work.path, all: false)
        var library = Library(work, .select)
        library.threads = 2
        library.stages = """
            stages:
              - format: {template: auto}
              - embed: {model: lexical, dimensions: 64}
              - cluster: {clusters: 6, reservoir: 200}
              - coreset: {keep: 90%, per: cluster}
              - cluster: {clusters: 2, reservoir: 200}
              - coreset: {keep: 80%, per: cluster}

            """
        try library.run("out", .local)
        let source = try FileSystem.local.openInput(work("out/picks.jsonl.zst"))
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        var picks = ""
        while case let count = try bytes.withUnsafeMutableBytes({ try source.read(into: $0) }), count > 0 {
            picks += String(decoding: bytes[..<count], as: UTF8.self)
        }
        let clusters = try Set(
            picks.split(separator: "\n").map { try JSONValue(json: Array($0.utf8))["cluster"]?.integerValue })
        #expect(clusters == [0, 1])
    }

    @Test func theLockIsOnTheFileThatStandsThere() throws {
        let work = try Workspace()
        let path = work("lock")
        // A process that opened the file, waits for the lock, and gets it after the file was removed.
        let once = FaultyFileSystem(failing: 0, of: [.lock])
        let gone = FileSystem.local.intercepting { operation, _ in
            if operation == .lock, once.calls == 1 { unlink(path) }
            return .proceed
        }
        let first = try once.disturb(gone).lock(path)
        #expect(once.calls == 2)
        #expect(throws: IOFailure.self) { _ = try FileSystem.local.lock(path) }
        _ = consume first
    }
}
