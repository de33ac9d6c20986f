import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceKit
import SluicePipeline
import SluiceTesting
import Testing

/// The n-th call of the file system fails, for each n in turn: every run ends with a clear error or the right bytes,
/// and its leftovers can be resumed or replaced.
@Suite(.serialized)
struct FaultLoopTests {
    /// One way to disturb a run.
    struct Disturbance: Sendable, CustomTestStringConvertible {
        let name: String
        let operations: Set<FileSystem.Operation>
        let fault: FaultyFileSystem.Fault
        let extent: FaultyFileSystem.Extent
        /// The number of points of a run that are tried if not all are.
        let places: Int
        var testDescription: String { name }

        static let all = [
            Disturbance(
                name: "any call: EIO", operations: FaultyFileSystem.allOperations, fault: .error(EIO), extent: .once,
                places: 14),
            Disturbance(
                name: "disk full", operations: [.write, .flush, .makeFolder], fault: .error(ENOSPC),
                extent: .fromThenOn, places: 6),
            Disturbance(
                name: "torn write", operations: [.write], fault: .torn(after: 7, ENOSPC), extent: .once, places: 6),
            Disturbance(
                name: "too many open files", operations: [.open], fault: .error(EMFILE), extent: .once, places: 6),
            Disturbance(
                name: "disk gone", operations: FaultyFileSystem.allOperations, fault: .error(EIO), extent: .fromThenOn,
                places: 6),
        ]
    }

    @Test(arguments: Case.allCases.filter { isSoak || $0 != .everyday }, Disturbance.all)
    func everyFaultIsSurvived(_ kind: Case, _ disturbance: Disturbance) throws {
        let (library, whole) = try Library.prepared(kind)
        let counter = FaultyFileSystem(failing: 0, of: disturbance.operations)
        _ = try library.run("counted", counter.fileSystem)
        let calls = counter.calls
        let step = isSoak ? 1 : max(1, calls / disturbance.places)
        var tally = Tally()
        var n = 1 + Int(testSeed) % step
        while true {
            let faulty = FaultyFileSystem(
                failing: n, of: disturbance.operations, with: disturbance.fault, disturbance.extent)
            try survive(faulty, n, library, whole, &tally)
            if !faulty.hasFailed { break }
            n += step
        }
        note("\(kind), \(disturbance.name): \(tally) in \(calls) calls")
        #expect(tally.faults >= min(calls, disturbance.places) - 1)
    }

    /// A run over a finished one, disturbed: afterwards the directory has the old result, complete, or the new one.
    @Test(arguments: [Case.dedupe, .select])
    func replacingAResultIsSurvived(_ kind: Case) throws {
        let (library, whole) = try Library.prepared(kind)
        let work = library.work
        let counter = FaultyFileSystem(failing: 0)
        _ = try library.run("whole", counter.fileSystem, force: true)
        // The first calls prepare the folder; each of them is tested.
        let places =
            Array(1...(isSoak ? 40 : 12))
            + stride(from: isSoak ? 41 : 13, through: counter.calls, by: isSoak ? 1 : max(1, counter.calls / 8))
        var tally = Tally()
        for n in places {
            work.remove("out")
            try work.copy("whole", to: "out")
            try survive(FaultyFileSystem(failing: n), n, library, whole, &tally, force: true)
            #expect(try Snapshot(work("out")) == whole, "call \(n)")
        }
        note("\(kind), over a finished run: \(tally)")
    }

    /// The n-th lease of memory is refused, for every n.
    @Test(arguments: Case.allCases.filter { isSoak || $0 != .everyday })
    func everyRefusedLeaseIsSurvived(_ kind: Case) throws {
        let (library, whole) = try Library.prepared(kind)
        let work = library.work
        var tally = Tally()
        var refused: [String] = []
        for n in 1... {
            let faulty = FaultyBudget(failing: n)
            work.remove("out")
            do {
                _ = try library.run("out", .local, budget: faulty.makeBudget)
                #expect(try Snapshot(work("out")) == whole)
                guard faulty.hasFailed else { break }
                Issue.record("lease \(n), \(faulty.refused ?? ""): nobody heard that it was refused")
            } catch let error as EngineError {
                tally.errors += 1
                #expect(error.code.exitStatus == 4, "lease \(n): \(error)")
                // The holder, the requested and available memory, and the sufficient amount.
                let purpose = try #require(faulty.refused)
                #expect(error.message.hasPrefix("\(purpose) needs "), "lease \(n): \(error)")
                #expect(
                    error.message.contains(", but 0 bytes of the budget of 256 MiB is left"), "lease \(n): \(error)")
                #expect(error.message.contains("the run needs at least "), "lease \(n): \(error)")
                refused.append(purpose)
            } catch {
                Issue.record("lease \(n): no EngineError but \(type(of: error)): \(error)")
            }
            tally.faults += 1
            if try FileSystem.local.status(of: work("out")) != nil {
                let left = try Snapshot(work("out"))
                #expect(left.files["run.json"] == nil && left.isHarmless(beside: whole), "lease \(n) left \(left)")
            }
            // With the memory available again, half of the runs resume and half start over.
            let resumes = n % 2 == 0
            _ = try library.run("out", .local, force: !resumes, resume: resumes)
            if resumes { tally.resumed += 1 } else { tally.fresh += 1 }
            #expect(try Snapshot(work("out")) == whole, "after lease \(n)")
        }
        note("\(kind), refused leases: \(tally)")
        let expected =
            kind == .select
            ? ["the run: the program", "reading: dedupe table", "cluster: a summary", "coreset: groups"]
            : ["the run: the program", "reading: 4 blocks"]
        for words in expected { #expect(refused.contains { $0.hasPrefix(words) }, "\(words) is not in \(refused)") }
        #expect(tally.faults == tally.errors && tally.faults >= (kind == .dedupe || kind == .uncompressed ? 7 : 10))
    }

    struct Tally: CustomStringConvertible {
        var faults = 0, errors = 0, results = 0, resumed = 0, fresh = 0
        var description: String {
            "\(faults) faults injected, \(errors) clear errors and \(results) right results; then \(resumed) resumed and \(fresh) fresh runs gave the undisturbed bytes"
        }
    }

    private func survive(
        _ faulty: FaultyFileSystem, _ n: Int, _ library: Library, _ whole: Snapshot, _ tally: inout Tally,
        force: Bool = false
    ) throws {
        if !force { library.work.remove("out") }
        func place() -> Comment {
            "call \(n): \(faulty.failed.map { "\($0.operation) of \($0.path)" } ?? "no fault")"
        }
        do {
            _ = try library.run("out", faulty.fileSystem, force: force)
            #expect(try Snapshot(library.work("out")) == whole, place())
            if faulty.hasFailed { tally.results += 1 }
        } catch let error as EngineError {
            tally.errors += 1
            #expect([2, 3, 4].contains(error.code.exitStatus), "\(place()): \(error)")
            #expect(error.message.contains("/") || error.message.contains("in-"), "\(place()): \(error)")
            #expect(faulty.hasFailed, "\(error)")
        } catch {
            Issue.record("\(place()): no EngineError but \(type(of: error)): \(error)")
        }
        guard faulty.hasFailed else { return }
        tally.faults += 1
        if try FileSystem.local.status(of: library.work("out")) != nil {
            let left = try Snapshot(library.work("out"))
            #expect(left.isHarmless(beside: whole), "\(place()) left \(left)")
        }
        let resumes = n % 4 != 3
        do {
            _ = try library.run("out", .local, force: !resumes, resume: resumes)
            if resumes { tally.resumed += 1 } else { tally.fresh += 1 }
        } catch {
            Issue.record("after \(place()): \(error)")
            return
        }
        #expect(try Snapshot(library.work("out")) == whole, "after \(place())")
        #expect(try Snapshot.all(in: library.work("out")).count == whole.files.count, "after \(place())")
    }
}

/// Runs a definition with the engine as a library.
struct Library {
    let work: Workspace
    let kind: Case
    var threads = 1
    /// Stages that replace those of the definition.
    var stages: String?

    init(_ work: Workspace, _ kind: Case) {
        self.work = work
        self.kind = kind
    }

    /// With records as input, and the result of an undisturbed run on them.
    static func prepared(_ kind: Case) throws -> (library: Library, whole: Snapshot) {
        let work = try Workspace()
        try Corpus.write(300, to: work.path, all: false)
        let library = Library(work, kind)
        return (library, try library.undisturbed())
    }

    func definition(_ output: String) throws -> Definition {
        try DefinitionFile.parse(
            text: stages.map { Case.dedupe.yaml() + $0 } ?? kind.yaml(), path: work("run.yaml"), registry: .builtIn,
            overrides: [Override(["output", "directory"], work(output), spelling: "output")])
    }

    @discardableResult
    func run(
        _ output: String, _ fileSystem: FileSystem, force: Bool = false, resume: Bool = false,
        budget: (@Sendable (Int) -> MemoryBudget)? = nil
    ) throws -> RunResult {
        var options = RunOptions(threads: threads)
        options.force = force
        options.resume = resume
        options.blockBytes = 4096
        options.segmentBytes = 20_000
        options.partBytes = 30_000
        options.checkpointSeconds = 0
        options.dedupeBytes = kind.dedupeBytes
        options.dedupeHashBits = kind.dedupeHashBits
        options.fileSystem = fileSystem
        if let budget { options.makeBudget = budget }
        return try Run(try definition(output), registry: .builtIn, options: options).run()
    }

    func undisturbed() throws -> Snapshot {
        try run("whole", .local)
        let whole = try Snapshot(work("whole"))
        #expect(whole.files.count == (kind == .select ? 12 : kind == .everyday ? 5 : 4))
        return whole
    }
}
