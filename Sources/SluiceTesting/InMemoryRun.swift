public import SluiceCore

/// A run of stages on records in memory, to test a stage without files or engine.
public struct InMemoryRun: Sendable {
    /// A record that a stage dropped.
    public struct Loss: Sendable, Hashable {
        /// The record's index, from 0.
        public let record: Int
        /// The stage's index, from 0.
        public let stage: Int
        public let reason: Reason
        /// The index of the kept record that it lost to; nil if there is none.
        public let partner: Int?
    }

    /// The indices of the kept records, ascending.
    public let kept: [Int]
    /// The lines of the kept records.
    public let lines: [String]
    /// The dropped records, in ascending order.
    public let losses: [Loss]
    /// The reports of each stage, body by body.
    public let reports: [[JSONValue]]
    private let flow: Flow

    /// A column with one row per kept record; nil if no stage writes it.
    public func column(_ name: ColumnName) -> Column? {
        flow.columns[name].map { column in Cell.column(of: kept.map { column.cells[$0] }, type: column.type) }
    }

    /// Runs one stage.
    ///
    /// - Parameter columns: columns that earlier stages would have written, one row per record.
    /// - Throws: `StageError`, `JSONError`, or `Problem` if a column has other rows than the records.
    public init(
        _ stage: any Stage.Type, options: OptionValues = [:], records: [String], columns: [ColumnName: Column] = [:],
        seed: UInt64 = 42, memory: Int = 256 << 20
    ) throws {
        try self.init(
            [StageSpec(stage.descriptor.name, options)], registry: Registry([stage]), records: records,
            columns: columns, seed: seed, memory: memory)
    }

    /// Runs stages one after the other.
    ///
    /// - Parameters:
    ///   - registry: has all these stages: `.builtIn` of `SluiceKit` has those of Sluice.
    ///   - columns: columns that earlier stages would have written, one row per record.
    /// - Throws: `StageError`, `JSONError`, or `Problem` if the registry lacks a stage or a column has other rows than
    ///   the records.
    public init(
        _ stages: [any StageSpecConvertible], registry: Registry, records: [String],
        columns: [ColumnName: Column] = [:], seed: UInt64 = 42, memory: Int = 256 << 20
    ) throws {
        let start = try Flow(records, columns)
        let flows = try Self.run(stages, registry: registry, seed: seed, memory: memory, start)
        flow = flows.last ?? start
        kept = flow.live
        lines = flow.live.map { String(decoding: start.records.lines[$0], as: UTF8.self) }
        reports = flows.map(\.reports)
        losses = flows.enumerated().flatMap { stage, flow in
            flow.losses.map { Loss(record: $0.key, stage: stage, reason: $0.value.reason, partner: $0.value.partner) }
        }.sorted { $0.record < $1.record }
    }

    /// The result of each stage.
    static func run(
        _ specs: [any StageSpecConvertible], registry: Registry, seed: UInt64, memory: Int, _ start: Flow
    ) throws -> [Flow] {
        var flows: [Flow] = []
        var counts: [String: Int] = [:]
        for spec in specs.map(\.stageSpec) {
            guard let type = registry[spec.name] else {
                throw Problem(
                    "the registry has no stage `\(spec.name)`; it has \(registry.names.joined(separator: ", "))")
            }
            let (options, problems) = type.descriptor.resolving(spec.options)
            if let problem = problems.first { throw problem }
            var driver = try StageDriver(
                try type.init(options: options), options: options,
                Seed(seed).derived(for: spec.name, index: counts[spec.name, default: 0]), memory: memory,
                flows.last ?? start, Variation())
            counts[spec.name, default: 0] += 1
            flows.append(try driver.run())
        }
        return flows
    }
}
