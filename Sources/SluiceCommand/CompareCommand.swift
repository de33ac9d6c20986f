import ArgumentParser
import SluiceCore
import SluiceEngine

struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compare how well runs cover their input.",
        usage: "sluice compare <run> ... [<options>]",
        discussion: Terminal.help(
            """
            Computes the vectors again with each run's own stages, up to the one that writes `embedding`. Writes no files but \
            temporary ones, in TMPDIR or /tmp, since vectors don't stay in memory. \
            The pool of a run is the records that reach the end of those stages, after the dedupe. Distances are chord \
            distances, 0 to 2, from a sample of the pool to the nearest kept record or record of `already`. Runs can be \
            compared if their pools and embeddings are the same.

              radius             largest distance from the pool to the kept records; lower is better, also for mean and \
            median distance, 90 % within and 99 % within
              effective rank     number of directions that the kept records use (Vendi score, 1 to the dimension); higher \
            is more diverse
              NovelSum           distances between kept records, weighted by the sparseness of the pool (arXiv 2502.17184)
              clusters reached   k-means clusters of the sample that contain a kept or earlier record
              labels reached     values of --label among the kept records
              random             the same for random sets of as many records, drawn by content; p is the part of these \
            sets, the run among them, that are at least as good: with 19 sets, 0.05 is the best possible. Large sets are \
            measured from fewer records, the small sample

            No single figure is enough: the smallest radius favours outliers.
            """))

    @Argument(help: ArgumentHelp("Output directories of runs.", valueName: "run"), completion: .directory)
    var directories: [String]

    @Option(help: "Records of the pool to sample; 0 for all.")
    var poolSample = 100_000

    @Option(help: "Clusters of the sample (default: chosen by its size).")
    var clusters: Int?

    @Option(help: "Random sets to hold each run against; 0 for none.")
    var randomSets = 19

    @Option(help: ArgumentHelp("Count the values of this field among the kept records.", valueName: "field"))
    var label: String?

    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    @OptionGroup var budget: RunMemoryOption
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        guard !directories.isEmpty else { throw CommandFailure.usage("name at least one output directory") }
        guard poolSample == 0 || poolSample >= 2 else {
            throw CommandFailure.usage("--pool-sample \(poolSample): give a number from 2, or 0 for all")
        }
        if let clusters, !(1...65_536).contains(clusters) {
            throw CommandFailure.usage("--clusters \(clusters): give a number from 1 to 65536")
        }
        guard (0...999).contains(randomSets) else {
            throw CommandFailure.usage("--random-sets \(randomSets): give a number from 0 to 999")
        }
        let count = try threads.count()
        let workers = WorkerPool(threads: count)
        defer { workers.stop() }
        var reports: [JSONValue] = []
        var allowed = 0
        for directory in directories {
            let (report, memory) = try measured(directory, threads: count, workers.parallel)
            reports.append(report)
            allowed = max(allowed, memory)
        }
        let pools = Set(reports.compactMap { $0["pool"]?.textValue })
        let result: JSONValue = [
            "runs": .list(reports), "same_pool_and_embedding": .flag(pools.count == 1),
            "distance": "chord", "clusters_seed": .integer(Measures.seed),
            "memory_budget": .integer(allowed), "memory_peak": .integer(peakMemory() ?? 0),
        ]
        if json { return Terminal.json(result.prettyJSON) }
        if pools.count > 1 {
            Terminal.line("The runs differ in input or embedding; their figures can't be compared.\n")
        }
        for line in CompareTable.lines(reports, width: Terminal.columns(of: .output)) { Terminal.line(line) }
        Terminal.note(
            "peak memory \(MemorySize.describe(peakMemory() ?? 0)) of \(MemorySize.describe(allowed))")
    }

    /// The same with errors that name the run, of which there may be several.
    private func measured(_ directory: String, threads: Int, _ parallel: Parallel) throws -> (JSONValue, Int) {
        do { return try measure(directory, threads: threads, parallel) } catch let error as EngineError
            where !error.message.contains(directory)
        { throw error.saying("\(directory): \(error.message)") }
    }

    /// The figures of a run, and the memory that was allowed for them.
    private func measure(_ directory: String, threads count: Int, _ parallel: Parallel) throws -> (JSONValue, Int) {
        let reader = try RunReader(directory, store: Environment.store)
        let definition = try RunDefinition.read(reader, budget)
        let embedding =
            try RunVectors.embedding(of: definition, registry: Environment.registry)?.stage ?? definition.stages.count
        let earlier = try RunDefinition.earlier(definition, reader.manifest)
        let counts = reader.manifest["counts"]
        let kept = counts?["kept"]?.integerValue ?? 0
        let sample = min(poolSample == 0 ? .max : poolSample, counts?["read"]?.integerValue ?? 0)
        var request = RunPass.Request()
        request.vectors = .column(nil)
        request.label = label.map { FieldPath($0) }
        request.threads = min(threads.fewest ?? count, count)...count
        request.isLimited = budget.memory != nil
        // A record of the sample takes its keys alone.
        if sample > 100_000 { request.otherwise = ", or take a smaller sample of the pool" }
        request.held = { _ in ComparedPool.memory(sample: sample, randomSets: randomSets) + 2 * earlier.count }
        request.after = { Measures.memory(sample: sample, dimension: $0, clusters: clusters, threads: count) }
        let pass = try RunPass(reader, definition, registry: Environment.registry, request)
        var pool = try ComparedPool(dimension: pass.dimension, sample: sample, kept: kept, randomSets: randomSets)
        try pass.run { try pool.add($0) }
        try reader.expectSameResult()
        let figures = try Measures(pool, earlier: earlier, clusters: clusters, parallel: parallel).json(
            hasLabel: label != nil)
        let report = JSONValue.object(
            [
                .init("run", .text(directory)),
                .init("choice", .text(RunDefinition.choice(of: reader.manifest, after: embedding))),
                .init("pool", .text(RunDefinition.poolDigest(of: reader.manifest, through: embedding))),
            ] + figures.entries)
        return (report, pass.memory)
    }
}
