import ArgumentParser
import SluiceCore
import SluiceEngine
import SluiceGeometry
import SluiceIO
import SluicePipeline

struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Hold what runs kept against what they chose from, side by side.",
        discussion: """
            The vectors are made again from the inputs by each run's own stages up to `embed`; nothing is written. \
            Distances are chord distances, 0 to 2, of a sample of the pool (distinct records that reach the end of those \
            stages) to the nearest kept record. The figures of two runs can be compared where pool and embedding are the same.

              radius, mean, median,
              90 %, 99 % within  how far the pool is from what was kept; less covers better
              effective rank     directions that the kept records use (Vendi score, 1 to
                                 the dimension); more is more diverse
              NovelSum           distances among kept records, the nearest counting most,
                                 where the pool is sparse (arXiv 2502.17184)
              clusters reached   k-means clusters of the pool's sample that have a kept
                                 record in them
              labels reached     values of --label in the pool that a kept record has

            No one of them is the truth: the smallest radius buys outliers. Look at them together.
            """)

    @Argument(help: ArgumentHelp("Output directories of runs.", valueName: "run"), completion: .directory)
    var directories: [String]

    @Option(help: "Records of the pool to measure with, drawn by content; 0 for all.")
    var poolSample = 100_000

    @Option(help: "Clusters of the pool's sample (default: by its size).")
    var clusters: Int?

    @Option(help: ArgumentHelp("A field of the records whose values should all be reached.", valueName: "field"))
    var label: String?

    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    @OptionGroup var budget: RunMemoryOption
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        guard !directories.isEmpty else { throw CommandFailure.usage("name one output directory at least") }
        guard poolSample == 0 || poolSample >= 2 else {
            throw CommandFailure.usage("--pool-sample \(poolSample): give a number from 2, or 0 for all")
        }
        if let clusters, !(1...65_536).contains(clusters) {
            throw CommandFailure.usage("--clusters \(clusters): give a number from 1 to 65536")
        }
        let count = try threads.count()
        let workers = WorkerPool(threads: count)
        defer { workers.stop() }
        var reports: [Report] = []
        var allowed = 0
        for directory in directories {
            let reader = try RunReader(directory)
            let definition = try RunDefinition.read(reader, budget)
            allowed = max(allowed, definition.memory)
            let pool = try EmbeddedPool.read(
                reader, definition, registry: Environment.registry,
                sample: poolSample == 0 ? .max / 4 : poolSample, label: label.map { FieldPath($0) }, threads: count)
            reports.append(
                .object(
                    [
                        .init("run", .text(directory)),
                        .init("choice", .text(RunDefinition.choice(of: reader.manifest))),
                        .init("pool", .text(RunDefinition.poolDigest(of: reader.manifest))),
                    ] + Measures.of(pool, clusters: clusters, parallel: workers.parallel).entries))
        }
        let pools = Set(reports.compactMap { $0["pool"]?.textValue })
        let result: Report = [
            "runs": .list(reports), "same_pool_and_embedding": .flag(pools.count == 1),
            "distance": "chord", "clusters_seed": .integer(Measures.seed),
            "memory_budget": .integer(allowed), "memory_peak": .integer(peakMemory() ?? 0),
        ]
        if json { return Terminal.line(result.prettyJSON) }
        for line in Table.lines(reports) { Terminal.line(line) }
        Terminal.note(
            "peak memory \(MemorySize.describe(peakMemory() ?? 0)) of \(MemorySize.describe(allowed))")
        if pools.count > 1 {
            Terminal.line("\nThe runs differ in input or in the stages up to `embed`: their figures can't be compared.")
        }
    }
}

struct VectorsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vectors",
        abstract: "Write the vectors of what a run kept, for `already` of a later one.",
        discussion: """
            A .npy file of int8, a row for each kept record in the order of the input, made again by the run's own stages up to `embed`. \
            With `coreset: {already: FILE}` a later run chooses what these records don't cover.
            """)

    @Argument(help: ArgumentHelp("The output directory of the run.", valueName: "run"), completion: .directory)
    var directory: String

    @Option(help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file(extensions: ["npy"]))
    var output: String

    @OptionGroup var budget: RunMemoryOption
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        let reader = try RunReader(directory)
        let pool = try EmbeddedPool.read(
            reader, try RunDefinition.read(reader, budget), registry: Environment.registry, sample: 0,
            threads: try threads.count())
        guard pool.kept > 0 else {
            throw CommandFailure.data("\(directory) kept nothing; there are no vectors to write")
        }
        do throws(IOFailure) {
            let writer = try NpyWriter<Int8>(output, width: pool.dimension)
            try writer.append(pool.chosen)
            try writer.finish()
        } catch {
            throw CommandFailure(status: 4, message: error.description)
        }
        Terminal.line("\(output): \(Format.count(pool.kept)) vectors of \(pool.dimension) components")
    }
}

struct RunMemoryOption: ParsableArguments {
    @Option(help: ArgumentHelp("Memory for the whole process (default: what the run had).", valueName: "size"))
    var memory: String?
}

/// The definition of a finished run, read from its manifest.
private enum RunDefinition {
    /// - Parameter budget: replaces the memory that the run had.
    static func read(_ reader: RunReader, _ budget: RunMemoryOption) throws -> Definition {
        let timing = reader.manifest["timing"]
        let folder = timing?["folder"]?.textValue ?? "."
        do throws(DefinitionErrors) {
            return try DefinitionFile.parse(
                text: (reader.manifest["definition"] ?? .null).json, path: "\(folder)/\(RunReader.definitionName)",
                registry: Environment.registry,
                overrides: [
                    Override(["output", "directory"], reader.path, spelling: "output"),
                    Override(
                        ["memory"],
                        budget.memory ?? String(timing?["memory_budget"]?.integerValue ?? Definition.defaultMemory),
                        spelling: "--memory \(budget.memory ?? "")"),
                ])
        } catch {
            throw CommandFailure.usage("\(reader.path): the run's definition can't be read any more: \(error)")
        }
    }

    private static func stages(_ manifest: Report) -> [Report] { manifest["definition"]?["stages"]?.elements ?? [] }

    /// What the stages behind the one that embeds are called, with their method: `cluster, coreset medoids`.
    static func choice(of manifest: Report) -> String {
        let names = stages(manifest).flatMap(\.entries)
        let embed = names.firstIndex { $0.key == "embed" }.map { $0 + 1 } ?? 0
        return names[embed...].map { entry in
            [entry.key, entry.value["method"]?.textValue].compactMap { $0 }.joined(separator: " ")
        }.joined(separator: ", ")
    }

    /// The same for runs with the same inputs and the same stages up to the one that embeds.
    static func poolDigest(of manifest: Report) -> String {
        var deciding: [Report] = []
        for stage in stages(manifest) {
            deciding.append(stage)
            if stage["embed"] != nil { break }
        }
        let bytes = Array(
            Report.list((manifest["inputs"]?.elements ?? []) + [manifest["definition"]?["input"] ?? .null] + deciding)
                .json.utf8)
        return "xxh3-128:" + bytes.withUnsafeBytes { hexadecimal(XXHash.hash128($0)) }
    }
}

/// What is measured of a chosen set.
private enum Measures {
    static let seed = 42
    /// Chosen records that NovelSum looks at; its cost grows with their square.
    static let novelSumLimit = 5000

    static func of(_ pool: EmbeddedPool, clusters: Int?, parallel: Parallel) -> Report {
        var entries: [Report.Entry] = [
            .init("records", .integer(pool.records)), .init("pool_sample", .integer(pool.sampled)),
            .init("kept", .integer(pool.kept)), .init("dimension", .integer(pool.dimension)),
        ]
        guard pool.kept > 0, pool.sampled > 0 else { return .object(entries) }
        let d = pool.dimension
        pool.pool.withVectors(dimension: d) { all in
            pool.chosen.withVectors(dimension: d) { chosen in
                if let cover = Yardsticks.coverage(of: all, by: chosen, parallel: parallel) {
                    entries += [
                        .init("radius", .real(cover.radius)), .init("mean_distance", .real(cover.meanDistance)),
                        .init("median_distance", .real(cover.median)), .init("distance_90", .real(cover.quantile90)),
                        .init("distance_99", .real(cover.quantile99)),
                    ]
                }
                var moments = Moments(dimension: d)
                moments.add(chosen, parallel: parallel)
                entries.append(.init("effective_rank", .real(Yardsticks.effectiveRank(moments, parallel: parallel))))
                moments = Moments(dimension: d)
                moments.add(all, parallel: parallel)
                entries.append(
                    .init("effective_rank_of_pool", .real(Yardsticks.effectiveRank(moments, parallel: parallel))))
            }
            entries += novelSum(pool, in: all, parallel)
            entries += reached(pool, all, clusters, parallel)
        }
        if let labels = pool.labels {
            entries += [.init("labels", .integer(labels.all)), .init("labels_reached", .integer(labels.kept))]
        }
        return .object(entries)
    }

    private static func novelSum(_ pool: EmbeddedPool, in all: VectorView, _ parallel: Parallel) -> [Report.Entry] {
        let d = pool.dimension
        let draws = pool.chosenDraws
        let rows = draws.indices.sorted { (draws[$0], $0) < (draws[$1], $1) }.prefix(novelSumLimit)
        let vectors = rows.flatMap { pool.chosen[($0 * d)..<(($0 + 1) * d)] }
        let value = vectors.withVectors(dimension: d) { Yardsticks.novelSum(of: $0, in: all, parallel: parallel) }
        return [
            .init("novel_sum", value.map { .real($0) } ?? .null), .init("novel_sum_of_records", .integer(rows.count)),
        ]
    }

    private static func reached(
        _ pool: EmbeddedPool, _ all: VectorView, _ clusters: Int?, _ parallel: Parallel
    ) -> [Report.Entry] {
        // The sample stands in the order of its draws, so its first rows are a sample too.
        let training = all[0..<min(all.count, 50_000)]
        let count = clusters.map { min($0, training.count) } ?? KMeans.automaticClusters(all.count).clusters
        let found = KMeans(clusters: count, seed: Seed(UInt64(seed))).run(training, parallel: parallel)
        let assigner = found.centroids.withVectors(dimension: pool.dimension) { Assigner(centres: $0) }
        let peopled = Set(assigner.assign(all, parallel: parallel).labels)
        let reached = pool.chosen.withVectors(dimension: pool.dimension) {
            Set(assigner.assign($0, parallel: parallel).labels)
        }
        return [
            .init("clusters", .integer(peopled.count)),
            .init("clusters_reached", .integer(reached.intersection(peopled).count)),
        ]
    }
}

/// Figures side by side: a line a figure, a column a run.
private enum Table {
    static func lines(_ reports: [Report]) -> [String] {
        func real(_ key: String, _ digits: Int) -> (Report) -> String {
            { $0[key]?.realValue.map { Format.decimal($0, digits: digits) } ?? "-" }
        }
        func count(_ key: String) -> (Report) -> String {
            { $0[key]?.integerValue.map { Format.count($0) } ?? "-" }
        }
        func share(_ part: String, _ whole: String) -> (Report) -> String {
            { report in
                guard let part = report[part]?.integerValue, let whole = report[whole]?.integerValue else { return "-" }
                return "\(Format.count(part)) of \(Format.count(whole))"
            }
        }
        var rows: [(String, (Report) -> String)] = [
            ("", { $0["run"]?.textValue ?? "" }), ("choice", { $0["choice"]?.textValue ?? "" }),
            ("records", count("records")), ("sample of the pool", count("pool_sample")), ("kept", count("kept")),
            ("radius", real("radius", 4)), ("mean distance", real("mean_distance", 4)),
            ("median distance", real("median_distance", 4)), ("90 % within", real("distance_90", 4)),
            ("99 % within", real("distance_99", 4)), ("effective rank", real("effective_rank", 1)),
            ("  of the pool", real("effective_rank_of_pool", 1)), ("NovelSum", real("novel_sum", 4)),
            ("clusters reached", share("clusters_reached", "clusters")),
        ]
        if reports.contains(where: { $0["labels"] != nil }) {
            rows.append(("labels reached", share("labels_reached", "labels")))
        }
        let cells = rows.map { row in [row.0] + reports.map(row.1) }
        let widths = (0...reports.count).map { column in cells.map { $0[column].count }.max() ?? 0 }
        return cells.map { row in
            var line = row[0] + String(repeating: " ", count: widths[0] - row[0].count)
            for (cell, width) in zip(row, widths).dropFirst() {
                line += "  " + String(repeating: " ", count: width - cell.count) + cell
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
