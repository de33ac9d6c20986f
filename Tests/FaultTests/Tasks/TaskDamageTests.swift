import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Files of earlier tasks that are damaged, missing or not of this plan, and inputs that change between tasks: each is
/// named and refused, and never used.
@Suite(.serialized)
struct TaskDamageTests {
    /// After each phase, files that it wrote are damaged, and one process does the rest.
    @Test(arguments: isSoak ? TaskCase.allCases : [.bytes, .labels])
    func damagedFilesAreNotBelieved(_ kind: TaskCase) throws {
        let scene = try TaskScene(kind, records: 200)
        let whole = try scene.whole()
        let tasks = try scene.prepare("out")
        var random = SplitMix64(state: testSeed &+ 20)
        var seen: Set<String> = []
        var tally = (refused: 0, right: 0)
        for (index, task) in tasks.enumerated() {
            if index > 0, tasks[index - 1].phase != task.phase {
                let all = try Set(Workspace.files(under: scene.work("out/work")))
                let new = all.subtracting(seen).sorted().shuffled(using: &random)
                seen = all
                for path in new.prefix(isSoak ? 30 : 2) {
                    let file = String(path.dropFirst(scene.work("out").count + 1))
                    try expectRefused(file, scene, whole, &random, &tally)
                }
            }
            try scene.perform(task.id, in: "out")
        }
        note("\(kind): \(tally.refused) damaged files refused by name, \(tally.right) right results")
        #expect(tally.refused > 0)
    }

    private func expectRefused(
        _ file: String, _ scene: TaskScene, _ whole: Snapshot, _ random: inout SplitMix64,
        _ tally: inout (refused: Int, right: Int)
    ) throws {
        scene.work.remove("copy")
        try scene.work.copy("out", to: "copy")
        let path = scene.work("copy/\(file)")
        let what = try damage(path, &random)
        let outcome = try scene.run("copy", "--resume")
        if outcome.status == 0 {
            tally.right += 1
            #expect(try Snapshot(scene.work("copy")) == whole, "\(file) \(what)")
            return
        }
        tally.refused += 1
        // The task of a bad mark is done again.
        #expect(!file.hasPrefix("work/tasks/"), "\(file) \(what): \(outcome.error)")
        let isPlan = file.hasSuffix("plan.json")
        #expect(outcome.status == (isPlan ? 2 : 3), "\(file) \(what): \(outcome.error)")
        #expect(outcome.error.contains("--force"), "\(file) \(what): \(outcome.error)")
        // The file itself, or the task whose files are not there.
        let isNamed = outcome.error.contains(Path.name(of: file)) || outcome.error.contains("files that the task `")
        #expect(isPlan || isNamed, "\(file) \(what): \(outcome.error)")
        #expect(try Snapshot(scene.work("copy")).isHarmless(beside: whole), "\(file) \(what)")
    }

    private func damage(_ path: String, _ random: inout SplitMix64) throws -> String {
        var bytes = try FileSystem.local.contents(of: path)
        let kind = random.next(below: 3)
        if kind == 0 || bytes.isEmpty {
            try FileSystem.local.remove(path)
            return "removed"
        }
        let place = Int(random.next(below: UInt64(bytes.count)))
        if kind == 1 {
            bytes[place] ^= 1 << UInt8(random.next(below: 8))
        } else {
            bytes.removeSubrange(place...)
        }
        try FileSystem.local.write(bytes, to: path)
        return kind == 1 ? "with byte \(place) changed" : "cut at byte \(place)"
    }

    /// Results that are gone although their tasks are done.
    @Test func missingResultsAreNamed() throws {
        let scene = try TaskScene(.clusters, records: 200)
        func expectNamed(_ file: String, by task: String, _ name: String, status: Int32 = 3) throws {
            let path = scene.work("out/work/\(file)")
            let good = try FileSystem.local.contents(of: path)
            try FileSystem.local.remove(path)
            let outcome = try scene.task(task, in: "out")
            #expect(outcome.status == status && outcome.error.contains(name), "\(file): \(outcome.error)")
            if status == 3 {
                #expect(outcome.error.contains("missing"), "\(outcome.error)")
                #expect(outcome.error.contains("--force"), "\(outcome.error)")
            }
            try FileSystem.local.write(good, to: path)
        }
        for task in try scene.prepare("out") {
            switch task.id {
            case "duplicates.0": try expectNamed("data/hash.0", by: task.id, "data/hash.0")
            case "transform-2.1": try expectNamed("outcome-1", by: task.id, "`learn-1`")
            case "gather-2.0": try expectNamed("tasks/tally", by: task.id, "`tally`")
            case "count-2.1":
                let files = try FileSystem.local.entries(of: scene.work("out/work"))
                let state = try #require(files.first { $0.hasPrefix("round-2.1-") })
                try expectNamed(state, by: task.id, state)
            case "finish":
                try expectNamed("data/write.0/kept.jsonl.zst", by: task.id, "data/write.0/kept.jsonl.zst")
                try expectNamed("tasks/write.1", by: task.id, "`write.1`", status: 2)
            default: break
            }
            try scene.perform(task.id, in: "out")
        }
    }

    /// A mark alone says nothing: it must be whole, and of this run.
    @Test func badMarksDoNotCount() throws {
        let scene = try TaskScene(.lines, records: 100)
        let whole = try scene.whole()
        let tasks = try scene.prepare("out")
        let mark = scene.work("out/work/tasks/hash.0")
        try scene.perform("hash.0", in: "out")
        let good = try FileSystem.local.contents(of: mark)
        for bad in [[], Array(good.dropLast()), good + [0]] {
            try FileSystem.local.write(bad, to: mark)
            try scene.perform("hash.0", in: "out")
            #expect(try FileSystem.local.contents(of: mark) == good)
            try FileSystem.local.write(bad, to: mark)
            let again = try scene.run("out", "--resume", "--prepare")
            #expect(again.status == 0, "\(again.error)")
            #expect(try FileSystem.local.status(of: mark) == nil, "a driver would take it for a finished task")
        }
        for task in tasks { try scene.perform(task.id, in: "out") }
        try scene.expect(whole, in: "out")
    }

    /// Without its plan, nothing says what the work files are.
    @Test func aMissingPlanIsSaidToBe() throws {
        let scene = try TaskScene(.lines, records: 100)
        let whole = try scene.whole()
        _ = try scene.prepare("out")
        try scene.perform("hash.0", in: "out")
        try FileSystem.local.remove(scene.work("out/work/plan.json"))
        let task = try scene.task("hash.1", in: "out")
        #expect(task.status == 2 && task.error.contains("prepare it"), "\(task.error)")
        let refused = try scene.run("out")
        #expect(refused.status == 2 && refused.error.contains("plan.json"), "\(refused.error)")
        #expect(refused.error.contains("--force"), "\(refused.error)")
        let fresh = try scene.run("out", "--resume")
        #expect(fresh.status == 0 && fresh.error.contains("plan.json is missing"), "\(fresh.error)")
        try scene.expect(whole, in: "out")
    }

    // MARK: Inputs

    /// Overwrites a file, and gives it its old time.
    private func alter(_ path: String, _ change: (inout [UInt8]) -> Void) throws {
        let modified = try #require(try FileSystem.local.status(of: path)).modified
        var bytes = try FileSystem.local.contents(of: path)
        change(&bytes)
        try FileSystem.local.write(bytes, to: path)
        let time = timespec(tv_sec: Int(modified / 1_000_000_000), tv_nsec: Int(modified % 1_000_000_000))
        utimensat(AT_FDCWD, path, [time, time], 0)
    }

    @Test func aChangedInputIsRefused() throws {
        let scene = try TaskScene(.clusters, records: 200)
        let whole = try scene.whole()
        let tasks = try scene.prepare("out")
        let input = scene.work("in-0.jsonl")
        let good = try FileSystem.local.contents(of: input)
        let place = try #require(good.firstIndex(of: UInt8(ascii: "v")))
        for task in tasks {
            if ["read.0", "write.0"].contains(task.id) {
                // The size and the time are the same, but not the content.
                try alter(input) { $0[place] = UInt8(ascii: "x") }
                let changed = try scene.task(task.id, in: "out")
                #expect(changed.status == 3, "\(task.id): \(changed.error)")
                #expect(changed.error.contains("in-0.jsonl changed"), "\(task.id): \(changed.error)")
                try alter(input) { $0 = good }
            }
            if task.id == "tally" {
                try alter(input) { $0.append(0x0A) }
                for outcome in [try scene.task(task.id, in: "out"), try scene.run("out", "--resume")] {
                    #expect(outcome.status == 2, "\(outcome.error)")
                    #expect(outcome.error.contains("in-0.jsonl had \(good.count) bytes"), "\(outcome.error)")
                }
                try alter(input) { $0 = good }
                try FileSystem.local.write([], to: scene.work("in-7.jsonl"))
                let more = try scene.task(task.id, in: "out")
                #expect(more.status == 2 && more.error.contains("in-7.jsonl is new"), "\(more.error)")
                try FileSystem.local.remove(scene.work("in-7.jsonl"))
            }
            try scene.perform(task.id, in: "out")
        }
        try scene.expect(whole, in: "out")
    }

    /// A file that a stage names is part of the plan.
    @Test func aChangedFileOfAStageIsRefused() throws {
        let scene = try TaskScene(.clusters, records: 100)
        func write(_ value: Int8) throws {
            let writer = try NpyWriter<Int8>(scene.work("earlier.npy"), width: 32)
            try writer.append([Int8](repeating: value, count: 32))
            try writer.finish()
        }
        try write(3)
        let yaml = scene.kind.yaml.replacing("per: cluster", with: "per: cluster, already: earlier.npy")
        try FileSystem.local.write(Array(yaml.utf8), to: scene.work("run.yaml"))
        let whole = try scene.whole()
        for (number, task) in try scene.prepare("out").enumerated() {
            if number % 5 == 1 {
                try write(4)
                let outcome = try scene.task(task.id, in: "out")
                #expect(outcome.status == 2 && outcome.error.contains("earlier.npy"), "\(outcome.error)")
                try write(3)
            }
            try scene.perform(task.id, in: "out")
        }
        try scene.expect(whole, in: "out")
    }
}
