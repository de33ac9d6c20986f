import ArgumentParser
import SluiceCore
import SluiceEngine
import SluiceIO

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a definition.", usage: "sluice run <file> [<options>]",
        discussion: Terminal.help(
            """
            Files in the output directory:
              kept.jsonl.zst         kept records in input order (kept.jsonl with `output.compression: none`)
              ledger.jsonl.zst       each dropped record with its stage, its reason and the record it lost to
              quarantine.jsonl.zst   malformed lines
              picks.jsonl.zst        cluster, rank and distances of kept records
              run.json               counts, digests and certificates
            """))

    @OptionGroup var source: DefinitionOptions
    @OptionGroup var threads: ThreadOptions

    @Option(
        help: ArgumentHelp("Read only so many records, from the first on, to try the definition.", valueName: "count"))
    var limit: String?

    @Flag(help: "Replace the result in the output directory once the new one is complete.")
    var force = false

    @Flag(help: "Continue the stopped run in the output directory.")
    var resume = false

    @Flag(help: "Prepare the output directory, list the tasks as JSON, and end: see `sluice task --help`.")
    var prepare = false

    @Flag(help: "Keep the work files (columns as .npy) in the output directory.")
    var keepWork = false

    @Option(help: "How to show progress (default: bar on a terminal, plain elsewhere).")
    var progress: ProgressStyle?

    @Option(help: .hidden)
    var blockBytes: Int?

    @Option(help: .hidden)
    var segmentBytes: Int?

    @Option(help: .hidden)
    var partBytes: Int?

    @Option(help: .hidden)
    var checkpointSeconds: Double?

    @Option(help: .hidden)
    var dedupeBytes: Int?

    @Option(help: .hidden)
    var dedupeHashBits: Int?

    func run() throws {
        let definition = try source.definition(limit: limit)
        var options = try threads.options(for: definition)
        options.force = force
        options.keepWork = keepWork
        options.resume = resume
        if let blockBytes { options.blockBytes = blockBytes }
        if let segmentBytes { options.segmentBytes = segmentBytes }
        if let partBytes { options.partBytes = partBytes }
        if let checkpointSeconds { options.checkpointSeconds = checkpointSeconds }
        options.dedupeBytes = dedupeBytes
        options.dedupeHashBits = dedupeHashBits
        options.isStopped = Signals.isStopped
        options.notice = { Terminal.note("note: \($0)") }
        if prepare {
            guard !source.printsKept else {
                throw CommandFailure.usage(
                    "--prepare writes the list of tasks to standard output, so --output - can't write records to it; name a directory"
                )
            }
            let run = try TaskRun.prepare(definition, registry: Environment.registry, options: options)
            if run.tasks.isEmpty {
                Terminal.note("\(definition.output.directory) is already complete; nothing is left")
            }
            return run.tasks.print()
        }
        let meter = ProgressMeter()
        let run = try Run(definition, registry: Environment.registry, options: options, progress: meter)
        Signals.install(
            LastWords(directory: definition.input.files == ["-"] ? nil : definition.output.directory))
        let display = ProgressDisplay(meter, style: progress ?? .forTerminal)
        display.start()
        let result: RunResult
        do {
            result = try run.run()
        } catch let error as EngineError where error.code == .stopped {
            Signals.settle()
            display.stop()
            throw CommandFailure(status: Signals.exitStatus, message: Signals.message(error))
        } catch {
            Signals.settle()
            display.stop()
            throw error
        }
        Signals.settle()
        display.stop()
        if result.wasComplete { Terminal.note("\(definition.output.directory) is already complete; nothing was done") }
        Summary.show(result, definition)
        if source.printsKept { try printKept(result, definition.output.directory) }
    }

    /// Writes the kept records to standard output. Only a complete result is written, so a stopped run leaves nothing
    /// half done there, and `--resume` works as always.
    private func printKept(_ result: RunResult, _ directory: String) throws {
        try Signals.release(directory)
        guard let name = result.manifest["outputs"]?.elements.first?["file"]?.textValue else { return }
        let source = try FileSystem.local.openInput("\(directory)/\(name)")
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
        defer { buffer.deallocate() }
        while Terminal.outputFailure == nil {
            let count = try source.read(into: buffer)
            guard count > 0 else { return }
            Terminal.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}

extension ProgressStyle: ExpressibleByArgument {}

/// The summary that `run` prints at the end.
enum Summary {
    static func show(_ result: RunResult, _ definition: Definition) {
        for warning in result.warnings { Terminal.note("warning: \(warning)") }
        let manifest = result.manifest
        Terminal.note(
            "read \(Format.count(result.read)) = kept \(Format.count(result.kept)) + dropped \(Format.count(result.dropped)) + quarantined \(Format.count(result.quarantined))"
        )
        if result.quarantined > 0 {
            Terminal.note(
                "  malformed: \(counts(manifest["quarantine"])) (see \(definition.output.directory)/quarantine.jsonl.zst)"
            )
        }
        for stage in manifest["stages"]?.elements ?? [] {
            // A stage that can drop records is listed even if it dropped none.
            guard stage["dropped"]?.entries.isEmpty == false, let name = stage["stage"]?.textValue else { continue }
            let drops = counts(stage["dropped"])
            Terminal.note(
                "  \(name): \(Format.count(stage["in"]?.integerValue ?? 0)) → \(Format.count(stage["out"]?.integerValue ?? 0))\(drops.isEmpty ? "" : " (\(drops))")"
            )
            if let certificate = certificate(of: stage) { Terminal.note("    \(certificate)") }
            if let lost = lostLabels(of: stage) { Terminal.note("    \(lost)") }
        }
        for sink in definition.sinks { Terminal.note("  \(files(of: sink.name, manifest))") }
        let timing = manifest["timing"]
        let peak = timing?["memory_peak"]?.integerValue ?? 0
        Terminal.note(
            "\(definition.output.directory): \(Format.duration(timing?["seconds"]?.realValue ?? 0)), peak memory \(MemorySize.describe(peak)) of \(MemorySize.describe(definition.memory))"
        )
        let directory = definition.output.directory
        if let file = manifest["outputs"]?.elements.first?["file"]?.textValue {
            Terminal.note("kept records: \(directory)/\(file)")
        }
        Terminal.note("next: sluice report \(shellWord(directory))")
    }

    /// The labels without a kept record, those with the most records first: `lost labels: law 20, art 5 and 3 more`. Nil if
    /// there are none, or if the groups are no labels, but numbered.
    private static func lostLabels(of stage: JSONValue) -> String? {
        let lost = (stage["per_group"]?.elements ?? []).compactMap { group -> (name: String, records: Int)? in
            guard let name = group["key"]?.textValue, group["kept"]?.integerValue == 0 else { return nil }
            return (name, group["records"]?.integerValue ?? 0)
        }
        guard !lost.isEmpty else { return nil }
        let largest = lost.sorted { ($1.records, $0.name) < ($0.records, $1.name) }.prefix(5)
        let more = lost.count > largest.count ? " and \(Format.count(lost.count - largest.count)) more" : ""
        let names = largest.map { "\(Printable.name($0.name, most: 40)) \(Format.count($0.records))" }
        return "lost labels: \(names.joined(separator: ", "))\(more)"
    }

    /// A path as a shell and the command read it.
    private static func shellWord(_ path: String) -> String {
        let word = path.hasPrefix("-") ? "./\(path)" : path
        let isPlain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/._-+,:@%=".utf8.contains(byte)
            }
        }
        return isPlain
            ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    /// `output sizes: 3 files of 10, 40 and 160 records`.
    private static func files(of name: String, _ manifest: JSONValue) -> String {
        let own = (manifest["outputs"]?.elements ?? []).filter { $0["output"]?.textValue == name }
        let lines = own.map { $0["lines"]?.integerValue ?? 0 }
        func records(_ count: Int) -> String { "\(Format.count(count)) \(count == 1 ? "record" : "records")" }
        guard lines.count > 1 else { return "output \(name): \(records(lines.first ?? 0))" }
        guard lines.count <= 6 else {
            let range = "\(Format.count(lines.min() ?? 0)) to \(Format.count(lines.max() ?? 0))"
            return "output \(name): \(Format.count(lines.count)) files of \(range) records"
        }
        let counts = lines.dropLast().map { Format.count($0) }.joined(separator: ", ")
        return "output \(name): \(lines.count) files of \(counts) and \(records(lines.last ?? 0))"
    }

    /// How well a selection covers its records: `radius 0.8123, lower bound 0.5012, factor 1.6207`, or `worth at least 97.8 %
    /// of the best choice`. Nil if the stage certifies nothing.
    private static func certificate(of stage: JSONValue) -> String? {
        if let share = stage["share_of_best_at_least"]?.realValue {
            // Rounded down: it is a bound.
            let percent = (share * 1000).rounded(.down) / 10
            return "worth at least \(Format.decimal(percent, digits: 1)) % of the best choice of as many"
        }
        func figure(_ name: String, _ key: String) -> String? {
            stage[key]?.realValue.map { "\(name) \(Format.decimal($0, digits: 4))" }
        }
        let ofGroups = [
            figure("largest radius of a group", "largest_radius_of_a_group"),
            figure("largest factor", "largest_factor_of_a_group"),
        ]
        // Without a certificate, both reports have a radius alone.
        let isCertified = stage["lower_bound"] != nil || stage["largest_factor_of_a_group"] != nil
        let figures =
            stage["lower_bound"] == nil
            ? ofGroups : [figure("radius", "radius"), figure("lower bound", "lower_bound"), figure("factor", "factor")]
        return isCertified ? figures.compactMap { $0 }.joined(separator: ", ") : nil
    }

    /// `duplicate 12, too-short 3`, without counts of 0.
    private static func counts(_ report: JSONValue?) -> String {
        (report?.entries ?? []).filter { $0.value.integerValue ?? 0 > 0 }.map {
            "\($0.key) \(Format.count($0.value.integerValue ?? 0))"
        }.joined(separator: ", ")
    }
}
