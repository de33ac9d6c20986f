import ArgumentParser
import SluiceCore
import SluiceEngine

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Find every mistake in a definition. Reads no data.",
        usage: "sluice check <file> [<options>]",
        discussion: """
            Reports all mistakes of the definition at once, with exit status 2; if there are none, missing inputs and \
            whatever else a run would refuse before it reads anything. Starts the programs of `external`, to see whether they \
            answer. Exit status 4 means that `memory` is less than \
            the run needs.
            """)

    @OptionGroup var source: DefinitionOptions
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        let definition = try source.definition()
        let warnings = try Plan.check(
            definition, registry: Environment.registry, threads: try threads.count(for: definition))
        let stages = definition.stages.map(\.name).joined(separator: ", ")
        for warning in warnings { Terminal.note("warning: \(warning)") }
        Terminal.line("\(source.file): OK (\(stages.isEmpty ? "no stages" : stages))")
    }
}
