import Glibc
import SluiceCore
import SluiceIO
import SluiceKit
import Testing

@testable import SluiceEngine

/// Estimates of runs on many workers, and the lists of tasks that they are made from.
@Suite struct ScaleTests {
    private static let registry = Registry.builtIn
    private static let options = RunOptions(threads: 1)

    /// Stages with surveys and a selection in groups, and input that need not exist.
    private static func definition(_ stages: [StageSpec]? = nil) -> Definition {
        let usual = [
            StageSpec("format"), StageSpec("embed", ["model": .text("lexical"), "dimensions": .integer(64)]),
            StageSpec("cluster"),
            StageSpec("coreset", ["keep": .quantity(Quantity("5%") ?? .count(1)), "per": .text("cluster")]),
        ]
        return Definition(
            seed: 1,
            input: InputSpec(files: ["nowhere/*.jsonl"], dedupe: .line),
            stages: stages ?? usual, output: OutputSpec(directory: "nowhere/out"))
    }

    private static func estimate(
        _ bytes: Int, _ workers: [Int], stages: [StageSpec]? = nil, threads: Int = 1,
        _ change: (inout ScaleEstimate.Request) -> Void = { _ in }
    ) throws -> (estimate: ScaleEstimate, tasks: TaskList, seconds: (RunTask) -> Double) {
        var request = ScaleEstimate.Request(workers: workers)
        request.inputBytes = bytes
        change(&request)
        return try TaskRun.estimate(
            definition(stages), registry: registry, options: RunOptions(threads: threads), request)
    }

    @Test(arguments: [1, 300_000_000, 20_000_000_000, 100_000_000_000])
    func moreWorkersAreNeverSlower(bytes: Int) throws {
        let workers = [1, 2, 3, 7, 64, 1000, 100_000]
        let found = try Self.estimate(bytes, workers).estimate
        for phase in found.phases {
            for (fewer, more) in zip(phase.walls, phase.walls.dropFirst()) { #expect(more <= fewer, "\(phase.name)") }
            // Graham's bounds of a list schedule.
            for (count, wall) in zip(workers, phase.walls) {
                let least = max(phase.longest, phase.seconds / Double(count))
                #expect(wall >= least * 0.999999, "\(phase.name)")
                #expect(wall <= phase.seconds / Double(count) + phase.longest + 1e-9, "\(phase.name)")
            }
            #expect(abs(phase.walls[0] - phase.seconds) < 1e-6 * max(1, phase.seconds), "\(phase.name)")
        }
        #expect(found.wall(workers.count - 1) >= found.criticalPath * 0.999999)
    }

    @Test func sumsAreThoseOfTheTasks() throws {
        let (found, tasks, seconds) = try Self.estimate(30_000_000_000, [5])
        #expect(found.tasks == tasks.count)
        for phase in found.phases {
            let own = tasks.filter { $0.phase == phase.name }
            #expect(own.count == phase.tasks)
            let sum = own.reduce(0) { $0 + seconds($1) }
            #expect(abs(sum - phase.seconds) < 1e-6 * max(1, sum), "\(phase.name)")
            #expect(abs((own.map(seconds).max() ?? 0) - phase.longest) < 1e-9, "\(phase.name)")
            #expect(own.allSatisfy { $0.memory == phase.memory })
        }
        #expect(tasks.filter { $0.phase == "read" }.reduce(0) { $0 + $1.bytes } == 30_000_000_000)
    }

    @Test func bandwidthAndThreadsCount() throws {
        let free = try Self.estimate(100_000_000_000, [1000]).estimate
        let narrow = try Self.estimate(100_000_000_000, [1000]) { $0.bandwidth = 1_000_000_000 }.estimate
        for (a, b) in zip(free.phases, narrow.phases) {
            #expect(b.walls[0] == max(a.walls[0], (a.read + a.written) / 1e9), "\(a.name)")
        }
        #expect(narrow.wall(0) > free.wall(0))
        let wide = try Self.estimate(100_000_000_000, [1000], threads: 4).estimate
        #expect(wide.wall(0) < free.wall(0) && wide.wall(0) >= free.wall(0) / 4)
        // Twice the records of the same bytes: no phase is shorter.
        let more = try Self.estimate(100_000_000_000, [1000]) { $0.records = 2 * free.records }.estimate
        for (a, b) in zip(free.phases, more.phases) { #expect(b.seconds >= a.seconds) }
    }

    /// Methods that compare records with each other grow faster than the records; others don't.
    @Test(arguments: [("farthest-first", true), ("facility-location", true), ("medoids", true), ("random", false)])
    func comparisonsCount(method: String, isFaster: Bool) throws {
        let stages = [
            StageSpec("format"), StageSpec("embed", ["model": .text("lexical"), "dimensions": .integer(64)]),
            StageSpec("cluster"),
            StageSpec(
                "coreset",
                ["keep": .quantity(Quantity("5%") ?? .count(1)), "method": .text(method), "per": .text("cluster")]),
        ]
        func seconds(_ records: Int) throws -> Double {
            let found = try Self.estimate(20_000_000_000, [1], stages: stages) { $0.records = records }.estimate
            return found.phases.first { $0.name.hasPrefix("select") }?.seconds ?? 0
        }
        let ratio = try seconds(10_000_000_000) / seconds(100_000_000)
        #expect(isFaster ? ratio > 200 : ratio <= 100, "\(ratio)")
    }

    /// A measured run whose times are those of the rates changes nothing; one that took twice as long doubles the work.
    @Test func measuredRunsScaleTheRates() throws {
        func measured(_ factor: Double) throws -> ScaleMeasurement {
            func phase(_ name: String, _ seconds: Double) -> JSONValue {
                ["phase": .text(name), "seconds": .real(seconds)]
            }
            return try #require(
                ScaleMeasurement([
                    "inputs": [["bytes": 1_000_000_000]], "counts": ["read": 3_000_000],
                    "timing": [
                        "threads": 2,
                        "phases": [
                            phase("reading", 20 * factor), phase("cluster", 4 * factor), phase("coreset", 9 * factor),
                            phase("writing", 5 * factor),
                        ],
                    ],
                ]))
        }
        let bytes = 10_000_000_000
        let unmeasured = try Self.estimate(bytes, [1]).estimate
        #expect(unmeasured.records != 30_000_000)
        let once = try Self.estimate(bytes, [1]) { $0.measurement = try? measured(1) }.estimate
        let twice = try Self.estimate(bytes, [1]) { $0.measurement = try? measured(2) }.estimate
        #expect(once.records == 30_000_000)
        for (a, b) in zip(once.phases, twice.phases) where ["read", "write", "gather-2"].contains(a.name) {
            // The start of processes is not scaled.
            #expect(b.seconds / a.seconds > 1.9 && b.seconds / a.seconds <= 2.0001, "\(a.name)")
        }
        #expect(ScaleMeasurement(["inputs": [], "timing": ["phases": []]]) == nil)
    }

    /// Tasks are made when they are asked for, name few files however many they read, and are found by their names.
    @Test func listsAreMadeOnDemand() throws {
        let list = try Self.estimate(200_000_000_000, [1]).tasks
        #expect(list.count > 10_000)
        var random = SplitMix64(state: 3)
        for _ in 0..<2000 {
            let place = Int(random.next(below: UInt64(list.count)))
            let task = list[place]
            #expect(list.task(named: task.id) == task)
            #expect(task.inputs.count <= 40)
        }
        for name in ["read", "read.x", "read.-1", "read.01", "read.99999999", "nothing.0", "finish.0", ""] {
            #expect(list.task(named: name) == nil, "\(name)")
        }
    }

    /// Each task comes after all that it needs; merges read every summary once.
    @Test func needsComeFirst() throws {
        let list = try Self.estimate(300_000_000_000, [1]).tasks
        var done: Set<String> = []
        var merged: [String: Int] = [:]
        for task in list {
            for need in task.needs {
                for kind in list.tasks(of: need) {
                    #expect(done.contains(kind.id), "\(task.id) before \(kind.id)")
                    if task.phase.hasPrefix("merge") || task.phase.hasPrefix("learn") {
                        merged[kind.id, default: 0] += 1
                    }
                }
            }
            done.insert(task.id)
        }
        #expect(merged.filter { $0.key.hasPrefix("observe") }.count == list.parts.count)
        #expect(merged.values.allSatisfy { $0 == 1 })
    }

    /// A heap against the plain rule: the worker that is free first.
    @Test func schedulesAreThoseOfTheRule() {
        var random = SplitMix64(state: 9)
        for _ in 0..<200 {
            let workers = 1 + Int(random.next(below: 9))
            var schedule = ListSchedule(workers: workers)
            var free = [Double](repeating: 0, count: workers)
            for _ in 0..<Int(random.next(below: 60)) {
                let seconds = Double(random.next(below: 100))
                schedule.add(seconds)
                let first = free.indices.min { free[$0] < free[$1] } ?? 0
                free[first] += seconds
            }
            #expect(schedule.end == free.max())
        }
    }

    @Test func partsGrowWithTheInput() {
        #expect(InputParts.usualBytes(for: 0) == InputParts.usualBytes)
        #expect(InputParts.usualBytes(for: 1 << 43) == InputParts.usualBytes)
        #expect(InputParts.usualBytes(for: (1 << 43) + 1) == 2 * InputParts.usualBytes)
        for shift in 44...60 {
            #expect((UInt64(1) << shift) / UInt64(InputParts.usualBytes(for: 1 << shift)) == 65_536)
        }
    }
}
