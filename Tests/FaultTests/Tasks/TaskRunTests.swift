import SluiceCore
import SluiceIO
import Testing

/// A run that is cut into tasks gives the bytes of one process, whoever does which task, and when.
@Suite(.serialized)
struct TaskRunTests {
    /// Ways to do all tasks of a run.
    enum Driver: String, CaseIterable {
        /// In the order of the list, each twice.
        case inOrder
        /// In random order, as far as what they read allows, with other threads and memory each time.
        case shuffled
        /// Several processes at a time.
        case together
        /// Every task by three processes at the same time.
        case doubled
        /// Some tasks; one process does the others.
        case takenOver
        /// Three processes do all tasks, each in the order of the list.
        case resumedTogether

        /// The definitions that a driver is tried on if not all are.
        var cases: [TaskCase] {
            switch self {
            case .shuffled: TaskCase.allCases
            case .together: [.copy, .lines, .labels]
            case .doubled, .resumedTogether: [.after, .bytes]
            case .inOrder, .takenOver: [.clusters]
            }
        }
    }

    private static let all: [(TaskCase, Driver)] = Driver.allCases.flatMap { driver in
        (isSoak ? TaskCase.allCases : driver.cases).map { ($0, driver) }
    }

    @Test(arguments: all)
    func tasksGiveTheBytesOfOneProcess(_ kind: TaskCase, _ driver: Driver) throws {
        let scene = try TaskScene(kind)
        let whole = try scene.whole()
        #expect(
            whole.files.count { !$0.key.hasPrefix("outputs/") }
                == ([.clusters, .labels, .after, .everyday].contains(kind) ? 5 : 4)
                + (kind == .after ? 1 : 0))
        for turn in 0..<(isSoak ? 5 : 1) {
            var random = SplitMix64(state: testSeed &+ UInt64(turn) &* 7919)
            let tasks = try scene.prepare("out")
            #expect(tasks.last?.id == "finish")
            switch driver {
            case .inOrder: try inOrder(tasks, scene)
            case .shuffled: try shuffled(tasks, scene, &random)
            case .together: try together(tasks, scene, &random)
            case .doubled: try doubled(tasks, scene)
            case .takenOver: try takenOver(tasks, scene, &random)
            case .resumedTogether: try resumedTogether(scene)
            }
            try scene.expect(whole, in: "out")
            scene.work.remove("out")
            if turn == 0 { note("\(kind), \(driver): \(tasks.count) tasks give digest \(whole.digest)") }
        }
    }

    private func inOrder(_ tasks: [ListedTask], _ scene: TaskScene) throws {
        for task in tasks {
            try scene.perform(task.id, in: "out")
            let again = try scene.task(task.id, in: "out")
            #expect(again.status == 0, "\(again.error)")
            #expect(again.error.contains("already complete") == (task.id == "finish"), "\(again.error)")
        }
    }

    private func limits(_ random: inout SplitMix64) -> [String] {
        ["--threads", String(1 + random.next(below: 4)), "--memory", "\(200 + random.next(below: 300))MiB"]
    }

    private func shuffled(_ tasks: [ListedTask], _ scene: TaskScene, _ random: inout SplitMix64) throws {
        var queue = TaskQueue(tasks)
        while let task = queue.take(using: &random) {
            try scene.perform(task.id, in: "out", limits(&random))
            queue.finish(task)
        }
        #expect(queue.left.isEmpty)
    }

    private func together(_ tasks: [ListedTask], _ scene: TaskScene, _ random: inout SplitMix64) throws {
        var queue = TaskQueue(tasks)
        var running: [(task: ListedTask, process: Process)] = []
        while true {
            while running.count < 3, let task = queue.take(using: &random) {
                running.append((task, try scene.start(task.id, in: "out", limits(&random))))
            }
            guard !running.isEmpty else { break }
            // Not the one that ends first: so tasks also wait for others of their phase.
            let (task, process) = running.remove(at: Int(random.next(below: UInt64(running.count))))
            let outcome = try process.wait()
            try #require(outcome.status == 0, "\(task.id): \(outcome.error)")
            queue.finish(task)
        }
        #expect(queue.left.isEmpty)
    }

    private func doubled(_ tasks: [ListedTask], _ scene: TaskScene) throws {
        for task in tasks {
            let processes = try (1...3).map { try scene.start(task.id, in: "out", ["--threads", String($0)]) }
            for process in processes {
                let outcome = try process.wait()
                #expect(outcome.status == 0, "\(task.id): \(outcome.error)")
            }
        }
    }

    private func takenOver(_ tasks: [ListedTask], _ scene: TaskScene, _ random: inout SplitMix64) throws {
        for task in tasks.prefix(tasks.count / 2) { try scene.perform(task.id, in: "out") }
        let outcome = try scene.run("out", "--resume", "--threads", "3")
        #expect(outcome.status == 0, "\(outcome.error)")
    }

    private func resumedTogether(_ scene: TaskScene) throws {
        let processes = try (1...3).map {
            try Process(scene.arguments("out", ["--resume", "--threads", String($0)]))
        }
        for process in processes {
            let outcome = try process.wait()
            // A process that was started late may find the finished directory still in use.
            let isLate = outcome.status == 4 && outcome.error.contains("another process")
            #expect(outcome.status == 0 || isLate, "\(outcome.error)")
        }
    }
}
