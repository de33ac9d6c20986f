import ArgumentParser
import SluiceCore
import SluiceEngine
import SluicePipeline

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show what a run would do: passes, memory, disk.",
        usage: "sluice plan <file> [<options>]",
        discussion: """
            Phases run one after another, so each can use the whole budget except for the permanent part. A budget that is \
            too small is refused, as `run` would, with the smallest one that is enough. Reads only the beginning of some \
            input files, to estimate the number of records.
            """)

    @OptionGroup var source: DefinitionOptions
    @OptionGroup var threads: ThreadOptions

    @Flag(help: "List the tasks of the run as JSON: what each reads, writes and takes.")
    var tasks = false

    @Flag(help: "Print the definition with everything resolved: defaults, overrides, globs left as they are.")
    var resolved = false

    @Option(help: "Estimate costs and disk for this many records.")
    var records: Int?

    @OptionGroup var scale: ScaleOptions

    @Option(help: .hidden)
    var partBytes: Int?

    func run() throws {
        if let records, !(1...1_000_000_000_000_000).contains(records) {
            throw CommandFailure.usage("--records \(records): give a number from 1 to 10^15")
        }
        let definition = try source.definition()
        if resolved { return Terminal.write(DefinitionText.yaml(definition.relative(Environment.registry))) }
        if let request = try scale.request(records: records) { return try showScale(definition, request) }
        if tasks {
            let options = options(threads: try threads.count(for: definition))
            let list = try TaskRun.list(definition, registry: Environment.registry, options: options)
            return list.print()
        }
        let plan = try Plan(
            definition, registry: Environment.registry, threads: try threads.count(for: definition),
            fewest: threads.fewest, records: records, store: Environment.store)
        showInput(plan)
        showPhases(plan)
        showMemory(plan)
        show("\nto disk:", plan.spills)
        for note in plan.notes { show("\n`\(note.stage)`:", note.lines) }
        Terminal.line()
        Terminal.paragraph(
            "disk: at most \(MemorySize.describe(plan.disk.outputs)) of outputs in \(definition.output.directory)"
                + (plan.disk.work > 0 ? ", \(MemorySize.describe(plan.disk.work)) of work files until the end" : ""),
            hanging: 2)
    }

    private func options(threads: Int) -> RunOptions {
        var options = RunOptions(threads: threads)
        options.store = Environment.store
        if let partBytes { options.partBytes = partBytes }
        return options
    }

    /// A worker has one CPU unless `--threads` says otherwise: this machine's number says nothing about it.
    private func showScale(_ definition: Definition, _ request: ScaleEstimate.Request) throws {
        let options = options(threads: threads.threads == nil ? 1 : try threads.count())
        let found = try TaskRun.estimate(definition, registry: Environment.registry, options: options, request)
        if tasks { return found.tasks.print(seconds: found.seconds) }
        ScaleTable(estimate: found.estimate, request: request).show()
    }

    private func showInput(_ plan: Plan) {
        let size = plan.inputBytes > 0 ? ", \(MemorySize.describe(plan.inputBytes))" : ""
        let files = plan.files == 1 ? "1 file" : "\(plan.files) files"
        Terminal.paragraph("input: \(files)\(size), read \(plan.passes == 1 ? "once" : "twice")")
        for warning in plan.warnings { Terminal.paragraph("note: \(warning)", hanging: 2) }
        let records = plan.estimate.records
        Terminal.paragraph(
            "estimates are for \(records == 1 ? "1 record" : "\(Format.count(records)) records") (\(origin(plan)))",
            hanging: 2)
    }

    private func origin(_ plan: Plan) -> String {
        let better = "; pass --records N to be exact"
        switch plan.estimate.source {
        case .given: return "from --records"
        case .counted: return "counted"
        case .sampled(let files):
            let which = files == plan.files ? (files == 1 ? "the file" : "each file") : "\(files) of the files"
            return "from the beginning of \(which)\(better)"
        case .assumed: return "a guess\(better)"
        }
    }

    private func showPhases(_ plan: Plan) {
        show("\nphases:", plan.phases.map { "\($0.number). \($0.name): \($0.what)" })
        if !plan.workColumns.isEmpty {
            Terminal.paragraph("kept columns: \(plan.workColumns.joined(separator: ", "))", hanging: 2)
        }
    }

    private func showMemory(_ plan: Plan) {
        Terminal.line()
        Terminal.paragraph(
            "memory: \(MemorySize.describe(plan.memory)) in all; this plan needs at least \(MemorySize.spell(plan.smallestMemory))",
            hanging: 2)
        let width = (plan.phases.map(\.name.count) + [6]).max() ?? 6
        func show(_ name: String, _ shares: [Plan.Share]) {
            for (index, share) in shares.enumerated() {
                let label = index == 0 ? name : ""
                let size = MemorySize.describe(share.bytes)
                let head = "\(label)\(spaces(width - label.count))  \(spaces(9 - size.count))\(size)  "
                let lines = Terminal.wrapped(
                    share.name, width: Terminal.columns(of: .output), indent: head.count + 2, hanging: head.count + 4)
                for (index, line) in lines.enumerated() {
                    Terminal.line(index == 0 ? "  " + head + line.dropFirst(head.count + 2) : line)
                }
            }
        }
        show("always", plan.shares)
        for phase in plan.phases { show(phase.name, phase.shares) }
    }

    private func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }

    private func show(_ title: String, _ lines: [String]) {
        if lines.isEmpty { return }
        Terminal.line(title)
        for line in lines { Terminal.paragraph(line, indent: 2, hanging: 4) }
    }
}
