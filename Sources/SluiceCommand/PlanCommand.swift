import ArgumentParser
import SluiceCore
import SluiceEngine

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show what a run would do: passes, memory, disk. Reads no records.",
        discussion: """
            Phases follow each other, so each has the budget to itself but for what is there always. Refuses, as the run would, \
            what needs more memory than there is, with the smallest budget that would do.
            """)

    @OptionGroup var source: DefinitionOptions
    @OptionGroup var threads: ThreadOptions

    @Option(help: "Estimate costs and disk for so many records (default: by the size of the input).")
    var records: Int?

    func run() throws {
        if let records, !(1...1_000_000_000_000).contains(records) {
            throw CommandFailure.usage("--records \(records): give a number from 1 to 10^12")
        }
        let definition = try source.definition()
        let plan = try Plan(
            definition, registry: Environment.registry, threads: try threads.count(for: definition), records: records)
        showInput(plan)
        showPhases(plan)
        showMemory(plan)
        show("\nto disk:", plan.spills)
        for note in plan.notes { show("\n`\(note.stage)`:", note.lines) }
        Terminal.line(
            "\ndisk: \(MemorySize.describe(plan.disk.outputs)) of outputs in \(definition.output.directory) at most"
                + (plan.disk.work > 0 ? ", \(MemorySize.describe(plan.disk.work)) of work files until the end" : ""))
    }

    private func showInput(_ plan: Plan) {
        let size = plan.inputBytes > 0 ? ", \(MemorySize.describe(plan.inputBytes))" : ""
        let files = plan.files == 1 ? "1 file" : "\(plan.files) files"
        Terminal.line("input: \(files)\(size), read \(plan.passes == 1 ? "once" : "twice")")
        let guess = plan.inputBytes > 0 ? "guessed by the size" : "a guess"
        let source = plan.isRecordsGiven ? "as --records says" : "\(guess); --records N says it better"
        Terminal.line(
            "estimates are for \(Format.count(plan.records)) record\(plan.records == 1 ? "" : "s") (\(source))")
    }

    private func showPhases(_ plan: Plan) {
        show("\nphases:", plan.phases.enumerated().map { "\($0 + 1). \($1.name): \($1.what)" })
        if !plan.workColumns.isEmpty { show("kept columns: \(plan.workColumns.joined(separator: ", "))", []) }
    }

    private func showMemory(_ plan: Plan) {
        Terminal.line(
            "\nmemory: \(MemorySize.describe(plan.memory)) in all; the smallest budget that would do is \(MemorySize.spell(plan.smallestMemory))"
        )
        let width = (plan.phases.map(\.name.count) + [6]).max() ?? 6
        func show(_ name: String, _ shares: [Plan.Share]) {
            for (index, share) in shares.enumerated() {
                let label = index == 0 ? name : ""
                let size = MemorySize.describe(share.bytes)
                Terminal.line(
                    "  \(label)\(spaces(width - label.count))  \(spaces(9 - size.count))\(size)  \(share.name)")
            }
        }
        show("always", plan.shares)
        for phase in plan.phases { show(phase.name, phase.shares) }
    }

    private func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }

    private func show(_ title: String, _ lines: [String]) {
        if lines.isEmpty, title.hasSuffix(":") { return }
        Terminal.line(title)
        for line in lines { Terminal.line("  \(line)") }
    }
}
