import ArgumentParser
import SluiceCore

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Find every mistake of a definition, reading no data.")

    @OptionGroup var source: DefinitionOptions

    func run() throws {
        let definition = try source.definition()
        let stages = definition.stages.map(\.name).joined(separator: ", ")
        Terminal.line("\(source.file): good (\(stages.isEmpty ? "no stages" : stages))")
    }
}
