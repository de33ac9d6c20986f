import SluiceCore
import SluiceIO

/// Makes the definition's outputs once all kept records are known: reads their file, and beside it the values that the
/// outputs ask for.
///
/// Outputs in input order share one reading and are written as it goes; each other output sorts its lines in a reading of
/// its own. A stopped run makes all of them anew. Cost: the kept records once per reading, and for sorted ones their lines
/// on disk, unpacked, if they don't fit in memory.
struct SinkPhase {
    private let run: RunContext
    /// The folder of the result.
    private let result: String
    private let leases: PhaseLeases
    /// For sorting, and for the outputs that are open.
    private let memory: Int
    private let files: Int

    /// - Returns: nil if the definition has no outputs.
    init?(_ run: RunContext, result: String) throws {
        guard !run.definition.sinks.isEmpty else { return nil }
        (self.run, self.result) = (run, result)
        let parts = run.shares.sinking
        (memory, files) = (parts[0].bytes, parts[1].bytes)
        leases = try run.begin(RunOutline.outputs, parts)
    }

    /// - Returns: entries of the manifest, one for each file; and sentences about what a person may not have meant.
    func make() throws -> (files: [JSONValue], warnings: [String]) {
        defer { leases.giveBack() }
        let folder = "\(result)/\(SinkFolder.name)"
        if run.fileSystem.isRealFolder(folder) { try run.fileSystem.removeTree(folder) }
        try run.fileSystem.makeFolder(folder)
        let spares = ObjectPool { FrameCompressor(level: run.definition.output.level) }
        let buffers = ObjectPool { FrameBuffer() }
        let streams = run.definition.sinks.count { !$0.isSorted }
        let makers = run.definition.sinks.map { sink in
            let beside = sink.isSorted ? 1 : streams
            return SinkMaker(
                sink, SinkFiles(sink, in: folder, run, spares, buffers, beside: beside), run, memory: memory)
        }
        let streamed = makers.filter { !$0.isSorted }
        var warnings: [String] = []
        var isFirst = true
        // As many at a time as there is room for; more of them take another reading.
        let together = max(1, files / MemoryShares.perOutput)
        let groups = stride(from: 0, to: streamed.count, by: together).map { start in
            Array(streamed[start..<min(start + together, streamed.count)])
        }
        for group in groups + makers.filter(\.isSorted).map({ [$0] }) {
            let present = try read(into: group)
            if isFirst { warnings += absent(present) }
            isFirst = false
            for maker in group { try maker.finish() }
        }
        for maker in makers { try maker.files.flushFolder() }
        try run.fileSystem.flushFolder(folder)
        return (makers.flatMap(\.files.report), warnings + makers.flatMap(\.warnings))
    }

    /// Offers every kept record to the makers.
    ///
    /// - Returns: how many records there are, and for each name how many have a value.
    private func read(into makers: [SinkMaker]) throws -> (records: Int, values: [Int]) {
        let kept = try LineCursor("\(result)/\(run.definition.output.compression.keptName)", run.fileSystem)
        let rows = try run.sinkRows.map { _ in try LineCursor("\(result)/\(SinkRows.fileName)", run.fileSystem) }
        let names = run.sinkRows?.names ?? []
        var present = [Int](repeating: 0, count: names.count)
        var records = 0
        while let line = try kept.next() {
            if records % 4096 == 0, run.isStopped() { throw EngineError.stopped }
            var values: [RecordValue] = []
            if let rows {
                guard let row = try rows.next() else { throw Self.unequal(rows.path) }
                values = SinkRows.values(of: row)
                guard values.count == names.count else { throw Self.unequal(rows.path) }
                for (index, value) in values.enumerated() where value != .missing { present[index] += 1 }
            }
            func value(_ name: String) -> RecordValue { names.firstIndex(of: name).map { values[$0] } ?? .missing }
            for maker in makers { try maker.offer(line, value) }
            records += 1
        }
        if let rows, try rows.next() != nil { throw Self.unequal(rows.path) }
        return (records, present)
    }

    private static func unequal(_ path: String) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path, found: "it does not belong to the kept records beside it")
    }

    private func absent(_ present: (records: Int, values: [Int])) -> [String] {
        guard present.records > 0, let rows = run.sinkRows else { return [] }
        return rows.names.indices.filter { present.values[$0] == 0 }.map { index in
            let name = rows.names[index]
            let sinks = run.definition.sinks.filter { $0.names.contains(name) }.map { "`\($0.name)`" }
            let what = rows.sources[index].field == nil ? "column" : "field"
            return "no kept record has the \(what) `\(name)`, which output \(sinks.joined(separator: " and ")) reads"
        }
    }
}
