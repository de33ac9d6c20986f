public import SluiceCore
import SluiceIO

/// How long a run would take on a cluster, phase by phase, and what it moves and stores: estimates from the list of its tasks
/// and from measured rates.
///
/// A phase begins when all tasks of the one before have ended. Its wall time is that of a list schedule (Graham, 1966): each
/// task, in the order of the list, goes to the worker that is free first. So more workers never take longer.
public struct ScaleEstimate: Sendable {
    /// What is asked for.
    public struct Request: Sendable {
        /// Numbers of workers. Each does one task at a time, on as many CPUs as the run has threads.
        public var workers: [Int]
        /// Stored bytes of the input that is planned for; nil for the input that is there.
        public var inputBytes: Int?
        /// Records in it; nil to estimate them.
        public var records: Int?
        /// Bytes a second that the file system gives to all workers together; nil if it is no limit.
        public var bandwidth: Int?
        /// A run of the same stages on such a machine; nil for the rates of the program.
        public var measurement: ScaleMeasurement?

        public init(workers: [Int]) { self.workers = workers }
    }

    public struct Phase: Sendable {
        public let name: String
        public let tasks: Int
        /// CPU seconds of all its tasks, and of the longest one.
        public fileprivate(set) var seconds = 0.0
        public fileprivate(set) var longest = 0.0
        /// Bytes from and to the file system that all workers share.
        public fileprivate(set) var read = 0.0
        public fileprivate(set) var written = 0.0
        /// What a task leases, in bytes.
        public let memory: Int
        /// Whether a task uses one CPU, however many its worker has.
        public let isSerial: Bool
        /// Seconds with each number of workers.
        public fileprivate(set) var walls: [Double] = []
        /// The seconds that the bandwidth alone would take.
        public fileprivate(set) var transfer = 0.0
    }

    public private(set) var phases: [Phase] = []
    public let workers: [Int]
    public let records: Int
    public let inputBytes: Int
    public let files: Int
    public let parts: Int
    /// Threads of a task.
    public let threads: Int

    public var tasks: Int { phases.reduce(0) { $0 + $1.tasks } }
    public var seconds: Double { phases.reduce(0) { $0 + $1.seconds } }
    /// Seconds with endless workers: a phase then takes as long as its longest task.
    public var criticalPath: Double { phases.reduce(0) { $0 + $1.longest / Double($1.isSerial ? 1 : threads) } }
    public func wall(_ place: Int) -> Double { phases.reduce(0) { $0 + $1.walls[place] } }

    init(_ site: TaskSite, _ model: ScaleModel, _ request: Request, records: Int) {
        let run = site.run
        workers = request.workers
        threads = run.options.threads
        (inputBytes, files, parts) = (Int(run.catalog.totalSize), run.catalog.files.count, site.parts.count)
        self.records = records
        for listed in site.list.phases {
            let memory = listed.leases.reduce(0) { $0 + $1.bytes }
            let isSerial = listed.count > 0 && ScaleModel.isSerial(listed.kind(listed.number(at: 0)))
            let cpus = Double(isSerial ? 1 : threads)
            var phase = Phase(name: listed.name, tasks: listed.count, memory: memory, isSerial: isSerial)
            var schedules = workers.map { ListSchedule(workers: $0) }
            for place in 0..<listed.count {
                let cost = model.cost(listed.kind(listed.number(at: place)))
                phase.seconds += cost.seconds
                phase.longest = max(phase.longest, cost.seconds)
                phase.read += cost.read
                phase.written += cost.written
                for index in schedules.indices { schedules[index].add(cost.seconds / cpus) }
            }
            if let bandwidth = request.bandwidth { phase.transfer = (phase.read + phase.written) / Double(bandwidth) }
            phase.walls = schedules.map { max($0.end, phase.transfer) }
            phases.append(phase)
        }
    }
}

extension TaskRun {
    /// What a run would take on clusters of several sizes, without preparing anything.
    ///
    /// - Returns: the estimate, and the tasks with the CPU seconds of each.
    public static func estimate(
        _ definition: Definition, registry: Registry, options: RunOptions, _ request: ScaleEstimate.Request
    ) throws -> (estimate: ScaleEstimate, tasks: TaskList, seconds: (RunTask) -> Double) {
        let assumed = request.inputBytes.map { InputCatalog(assuming: $0, store: options.inputs) }
        let setup = try Setup(definition, registry, options, ProgressMeter(), catalog: assumed)
        return try setup.with("\(setup.directory)/\(RunDirectory.workName)") { site in
            let bytes = setup.catalog.totalSize
            let records =
                request.records ?? request.measurement?.records(in: bytes)
                ?? RecordEstimate(try? InputCatalog(definition.input, store: options.inputs), of: bytes).records
            let model = ScaleModel(site.run, site.list, records: records, .measured, request.measurement)
            let estimate = ScaleEstimate(site, model, request, records: records)
            return (estimate, site.list, { model.cost($0.kind).seconds })
        }
    }
}

/// Tasks that go, one after the other, to the worker that is free first.
struct ListSchedule {
    /// When each worker is free, as a binary heap.
    private var free: [Double]
    /// When the last task ends.
    private(set) var end = 0.0

    init(workers: Int) { free = Array(repeating: 0, count: max(1, workers)) }

    /// Cost: the logarithm of the number of workers.
    mutating func add(_ seconds: Double) {
        let ends = free[0] + seconds
        end = max(end, ends)
        var place = 0
        while true {
            var child = 2 * place + 1
            guard child < free.count else { break }
            if child + 1 < free.count, free[child + 1] < free[child] { child += 1 }
            guard free[child] < ends else { break }
            free[place] = free[child]
            place = child
        }
        free[place] = ends
    }
}
