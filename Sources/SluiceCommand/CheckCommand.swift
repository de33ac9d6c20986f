import ArgumentParser
import SluiceCore
import SluiceEngine

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Find every mistake of a definition, reading no data.",
        discussion:
            "Says too, with exit status 4, where `memory` does not suffice for what the stages are known to need.")

    @OptionGroup var source: DefinitionOptions
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        let definition = try source.definition()
        try Plan.checkMemory(definition, registry: Environment.registry, threads: try threads.count(for: definition))
        let stages = definition.stages.map(\.name).joined(separator: ", ")
        Terminal.line("\(source.file): good (\(stages.isEmpty ? "no stages" : stages))")
    }
}
