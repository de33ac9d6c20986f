import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Tasks that are killed or stopped at any instant are done again, and nothing of the first attempt is seen.
@Suite(.serialized)
struct TaskStopTests {
    @Test(arguments: isSoak ? TaskCase.allCases : [.bytes, .after])
    func killedTasksAreDoneAgain(_ kind: TaskCase) throws {
        let scene = try TaskScene(kind)
        let whole = try scene.whole()
        var random = SplitMix64(state: testSeed &+ 300)
        var kills = 0
        for _ in 0..<(isSoak ? 10 : 1) {
            for task in try scene.prepare("out") {
                // The end, where results get their names, is the most delicate.
                for _ in 0..<(task.id == "finish" ? 12 : 2) {
                    let process = try scene.start(task.id, in: "out")
                    Process.sleep(Double(random.next(below: 60)) / 1000)
                    process.send(SIGKILL)
                    let outcome = try process.wait()
                    #expect(outcome.status == 0 || outcome.status == 128 + SIGKILL, "\(task.id): \(outcome.error)")
                    if outcome.status != 0 { kills += 1 }
                    let left = try Snapshot(scene.work("out"))
                    #expect(left.isHarmless(beside: whole), "\(task.id): \(left)")
                }
                let outcome = try scene.task(task.id, in: "out")
                try #require(outcome.status == 0, "\(task.id): \(outcome.error)")
            }
            try scene.expect(whole, in: "out")
            scene.work.remove("out")
        }
        note("\(kind): \(kills) kills of tasks")
        #expect(kills > 0)
    }

    /// The last task is killed at each step of its end.
    @Test func aKilledEndIsCompleted() throws {
        let scene = try TaskScene(.clusters, records: 100)
        let whole = try scene.whole()
        _ = try scene.prepare("base")
        #expect(try scene.run("base", "--resume", "--keep-work").status == 0)
        let files = FileSystem.local
        for moved in 0...whole.files.count {
            // As if it had moved this many files, and removed the plan before.
            scene.work.remove("out")
            try scene.work.copy("base", to: "out")
            try files.makeFolder(scene.work("out/work/result"))
            for name in whole.files.keys.sorted().dropFirst(moved) {
                try files.rename(scene.work("out/\(name)"), to: scene.work("out/work/result/\(name)"))
            }
            let outcome = try scene.task(moved % 2 == 0 ? "finish" : "read.0", in: "out")
            #expect(outcome.status == 0, "\(outcome.error)")
            #expect(outcome.error.contains("already complete"), "\(outcome.error)")
            try scene.expect(whole, in: "out")
        }
    }

    /// SIGTERM ends a task in order, with what to do.
    @Test func aStoppedTaskSaysSo() throws {
        // Parts that take longer than it takes a signal to arrive.
        let scene = try TaskScene(.formatted, records: 8000)
        let whole = try scene.whole()
        var stops = 0
        for task in try scene.prepare("out") {
            for _ in 0..<(["hash", "read"].contains(task.phase) ? 3 : 1) {
                let process = try scene.start(task.id, in: "out", ["--threads", "1"])
                process.waitUntilItHears(SIGTERM)
                process.send(SIGTERM)
                let outcome = try process.wait()
                guard outcome.status != 0 else { continue }
                stops += 1
                #expect(outcome.status == 143, "\(task.id): \(outcome.error)")
                #expect(outcome.error.contains("stopped by SIGTERM; the task can be done again"), "\(outcome.error)")
            }
            try scene.perform(task.id, in: "out")
        }
        try scene.expect(whole, in: "out")
        #expect(stops > 0)
    }

    /// A second `finish` waits for the first, and can be stopped meanwhile.
    @Test func aSecondFinishWaits() throws {
        let scene = try TaskScene(.lines, records: 100)
        let whole = try scene.whole()
        for task in try scene.prepare("out").dropLast() { try scene.perform(task.id, in: "out") }
        let waiting: Process
        do {
            let lock = try FileSystem.local.lock(scene.work("out/work/finish"))
            let stopped = try scene.start("finish", in: "out")
            stopped.waitUntilItHears(SIGTERM)
            stopped.send(SIGTERM)
            let outcome = try stopped.wait()
            #expect(outcome.status == 143 && outcome.error.contains("can be done again"), "\(outcome.error)")
            waiting = try scene.start("finish", in: "out")
            waiting.waitUntilItHears(SIGTERM)
            extendLifetime(lock)
        }
        #expect(try waiting.wait().status == 0)
        try scene.expect(whole, in: "out")
    }

    /// A process that does all tasks is stopped; others go on with what is left.
    @Test func aStoppedProcessCanBeContinued() throws {
        let scene = try TaskScene(.labels)
        let whole = try scene.whole()
        let tasks = try scene.prepare("out")
        let process = try Process(scene.arguments("out", ["--resume", "--threads", "1"]))
        process.wait { access(scene.work("out/\(tasks[2].writes[0])"), F_OK) == 0 }
        process.send(SIGTERM)
        let outcome = try process.wait()
        if outcome.status != 0 {
            #expect(outcome.status == 143, "\(outcome.error)")
            #expect(
                outcome.error.contains("The work so far is in \(scene.work("out")); --resume continues it."),
                "\(outcome.error)")
        }
        for task in tasks.prefix(tasks.count / 2) { try scene.perform(task.id, in: "out") }
        #expect(try scene.run("out", "--resume").status == 0)
        try scene.expect(whole, in: "out")
    }

    /// What a killed attempt left is not used by the next, and goes with the work files.
    @Test func leftoversAreNotUsed() throws {
        let scene = try TaskScene(.clusters, records: 200)
        let whole = try scene.whole()
        let tasks = try scene.prepare("out")
        for task in tasks.dropLast() {
            // Names as attempts give them, with content that none would accept.
            for name in ["scratch/\(task.id).1-x", "ledger-\(task.id).1-x-0.run", "tasks/\(task.id).1-x.partial"] {
                try FileSystem.local.write([1, 2, 3], to: scene.work("out/work/\(name)"))
            }
            try scene.perform(task.id, in: "out")
        }
        try scene.perform("finish", in: "out")
        try scene.expect(whole, in: "out")
    }

    /// An attempt that was overtaken still finds the columns that later work replaces.
    @Test func anOvertakenAttemptFindsItsColumns() throws {
        let scene = try TaskScene(.after, records: 200)
        let whole = try scene.whole()
        for task in try scene.prepare("out") {
            try scene.perform(task.id, in: "out")
            guard task.phase.hasPrefix("transform") else { continue }
            // As if another attempt had done all but these.
            let round = task.phase.dropFirst("transform-".count), part = task.id.split(separator: ".").last ?? ""
            for name in try FileSystem.local.entries(of: scene.work("out/work"))
            where name.hasPrefix("round-\(round).\(part)-") {
                try FileSystem.local.remove(scene.work("out/work/\(name)"))
            }
            try FileSystem.local.remove(scene.work("out/\(task.writes[0])"))
            try scene.perform(task.id, in: "out")
        }
        try scene.expect(whole, in: "out")
    }
}
