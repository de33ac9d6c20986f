import ArgumentParser
import SluiceCore
import SluiceEngine

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show what a run would do: passes, memory, disk. Reads no records.")

    @OptionGroup var source: DefinitionOptions
    @OptionGroup var threads: ThreadOptions

    @Option(help: "Estimate the cost of selections for so many records.")
    var records = 1_000_000

    func run() throws {
        guard (1...1_000_000_000_000).contains(records) else {
            throw CommandFailure.usage("--records \(records): give a number from 1 to 10^12")
        }
        let definition = try source.definition()
        let plan = try Plan(definition, registry: Environment.registry, threads: try threads.count(), records: records)
        Terminal.line(
            "input: \(plan.files) \(plan.files == 1 ? "file" : "files"), \(MemorySize.describe(plan.inputBytes))")
        Terminal.line("\nphases:")
        for (index, phase) in plan.phases.enumerated() { Terminal.line("  \(index + 1). \(phase.name): \(phase.what)") }
        Terminal.line("\nmemory, \(MemorySize.describe(plan.memory)) in all:")
        for share in plan.shares {
            let size = MemorySize.describe(share.bytes)
            Terminal.line("  \(String(repeating: " ", count: max(0, 10 - size.count)))\(size)  \(share.name)")
        }
        if let bytes = plan.workBytesPerRecord {
            Terminal.line(
                "\nwork files: \(bytes) bytes a record (\(plan.workColumns.joined(separator: ", "))), as much again while a selection runs"
            )
        } else {
            Terminal.line("\nwork files: none")
        }
        if let bytes = plan.dedupeWork { Terminal.line("work files of a dedupe that outgrows its share: \(bytes)") }
        if !plan.costs.isEmpty {
            Terminal.line("\ncost, if \(Format.count(records)) records reach the selections:")
            for cost in plan.costs {
                Terminal.line("  `\(cost.stage)`")
                for way in cost.ways { Terminal.line("    \(way)") }
            }
            Terminal.line()
        }
        Terminal.line("output: \(definition.output.directory)")
    }
}
