import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceKit
import SluicePipeline
import SluiceTesting
import Testing

/// In every kind of task the n-th call of the file system fails: the task ends with a clear error, and once the fault is
/// gone it is done again and the result has the bytes of one process.
@Suite(.serialized)
struct TaskFaultTests {
    private struct Disturbance {
        let operations: Set<FileSystem.Operation>
        let fault: FaultyFileSystem.Fault
        let extent: FaultyFileSystem.Extent

        static let all = [
            Disturbance(operations: FaultyFileSystem.allOperations, fault: .error(EIO), extent: .once),
            Disturbance(operations: [.write, .flush, .makeFolder], fault: .error(ENOSPC), extent: .fromThenOn),
            Disturbance(operations: [.write], fault: .torn(after: 7, ENOSPC), extent: .once),
            Disturbance(operations: [.open], fault: .error(EMFILE), extent: .once),
        ]
    }

    private let registry = Registry.builtIn

    private func options(_ scene: TaskScene, _ fileSystem: FileSystem) -> RunOptions {
        var options = RunOptions(threads: 1)
        options.blockBytes = 4096
        options.segmentBytes = 20_000
        options.partBytes = 20_000
        options.dedupeHashBits = scene.kind.dedupeHashBits
        options.fileSystem = fileSystem
        return options
    }

    private func definition(_ scene: TaskScene) throws -> Definition {
        try DefinitionFile.parse(
            text: scene.kind.yaml, path: scene.work("run.yaml"), registry: registry,
            overrides: [Override(["output", "directory"], scene.work("out"), spelling: "output")])
    }

    @Test(arguments: isSoak ? TaskCase.allCases : [.bytes, .after])
    func everyFaultOfATaskIsSurvived(_ kind: TaskCase) throws {
        let scene = try TaskScene(kind, records: 200)
        let whole = try scene.whole()
        let definition = try definition(scene)
        var seen: Set<String> = []
        var tally = (faults: 0, errors: 0)
        try prepare(scene, definition, whole, &tally)
        let run = try TaskRun(definition, registry: registry, options: options(scene, .local))
        for task in run.tasks {
            if isSoak || seen.insert(task.phase).inserted {
                try scene.work.copy("out", to: "before")
                for disturbance in Disturbance.all {
                    try disturb(task, disturbance, scene, definition, whole, &tally)
                    scene.work.remove("out")
                    try scene.work.copy("before", to: "out")
                }
                scene.work.remove("before")
            }
            try run.perform(task)
        }
        try scene.expect(whole, in: "out")
        note("\(kind), tasks: \(tally.faults) faults injected, \(tally.errors) clear errors")
        #expect(tally.errors > 40)
    }

    /// Preparing the directory fails at every call; then it is prepared.
    private func prepare(
        _ scene: TaskScene, _ definition: Definition, _ whole: Snapshot, _ tally: inout (faults: Int, errors: Int)
    ) throws {
        for n in stride(from: 1, through: 10_000, by: isSoak ? 1 : 9) {
            let faulty = FaultyFileSystem(failing: n)
            do {
                _ = try TaskRun.prepare(
                    definition, registry: registry, options: options(scene, faulty.fileSystem))
                guard faulty.hasFailed else { return }
                scene.work.remove("out")
            } catch let error as EngineError {
                tally.errors += 1
                #expect([2, 3, 4].contains(error.code.exitStatus), "call \(n): \(error)")
            }
            tally.faults += 1
            // What is left is no obstacle.
            _ = try TaskRun.prepare(definition, registry: registry, options: options(scene, .local))
            scene.work.remove("out")
        }
    }

    private func disturb(
        _ task: RunTask, _ disturbance: Disturbance, _ scene: TaskScene, _ definition: Definition, _ whole: Snapshot,
        _ tally: inout (faults: Int, errors: Int)
    ) throws {
        func perform(_ faulty: FaultyFileSystem) throws {
            try TaskRun(definition, registry: registry, options: options(scene, faulty.fileSystem)).perform(task)
        }
        // The calls of opening the run are the first of every task.
        let opening = FaultyFileSystem(failing: 0, of: disturbance.operations)
        _ = try TaskRun(definition, registry: registry, options: options(scene, opening.fileSystem))
        var n = opening.calls + 1
        var step = 1
        while true {
            let faulty = FaultyFileSystem(
                failing: n, of: disturbance.operations, with: disturbance.fault, disturbance.extent)
            var failure: EngineError?
            do { try perform(faulty) } catch let error as EngineError { failure = error }
            if let failure {
                tally.errors += 1
                let place = faulty.failed.map { "\($0.operation) of \($0.path)" } ?? "no fault"
                #expect(faulty.hasFailed, "\(task.id): \(failure)")
                #expect([3, 4].contains(failure.code.exitStatus), "\(task.id), \(place): \(failure)")
                #expect(
                    failure.message.contains("/") || failure.message.contains("in-"), "\(task.id), \(place): \(failure)"
                )
            }
            #expect(try Snapshot(scene.work("out")).isHarmless(beside: whole), "\(task.id), call \(n)")
            if faulty.hasFailed { tally.faults += 1 }
            // A task may succeed in spite of a fault at its end.
            guard failure != nil else { return }
            n += step
            step = isSoak ? 1 : step * 3
        }
    }
}
