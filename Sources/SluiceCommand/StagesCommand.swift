import ArgumentParser
import SluiceCore

struct StagesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stages", abstract: "List the stages, or describe one.")

    @Argument(help: "The stage to describe.")
    var name: String?

    func run() throws {
        let registry = Environment.registry
        guard let name else {
            let width = registry.names.map(\.count).max() ?? 0
            for name in registry.names {
                let padding = String(repeating: " ", count: width - name.count)
                Terminal.line("\(name)\(padding)  \(registry[name]?.descriptor.summary ?? "")")
            }
            Terminal.line("\n`sluice stages NAME` tells more about one.")
            return
        }
        guard let stage = registry[name] else {
            let near = Registry.nearest(to: name, in: registry.names).map { "; did you mean `\($0)`?" } ?? "."
            throw CommandFailure.usage(
                "there is no stage `\(name)`\(near) Known are \(registry.names.joined(separator: ", ")).")
        }
        describe(stage.descriptor)
    }

    private func describe(_ descriptor: Descriptor) {
        Terminal.paragraph("\(descriptor.name): \(descriptor.summary)")
        for paragraph in descriptor.discussion.split(separator: "\n") {
            Terminal.line()
            Terminal.paragraph(String(paragraph))
        }
        guard !descriptor.options.isEmpty else {
            Terminal.line("\nIt has no options.")
            return
        }
        Terminal.line("\nOptions:")
        for option in descriptor.options {
            var facts = option.kind.description
            if option.isRequired {
                facts += "; required"
            } else if let value = option.defaultValue {
                facts += "; default \(Self.spelling(value))"
            }
            Terminal.paragraph("\(option.name)  (\(facts))", indent: 2)
            Terminal.paragraph(option.help, indent: 6)
            if !option.example.isEmpty { Terminal.line("      example: \(option.name): \(option.example)") }
        }
    }

    private static func spelling(_ value: OptionValue) -> String {
        if case .text(let text) = value { return text }
        return value.report.textValue ?? value.report.json
    }
}
