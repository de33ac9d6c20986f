import ArgumentParser
import SluiceCore
import SluicePipeline

struct StagesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stages", abstract: "List the stages, or describe one.")

    @Argument(help: "The stage to describe.", completion: .custom { _, _, _ in Environment.registry.names })
    var name: String?

    @Flag(help: "Print Markdown, for a reference with links.")
    var markdown = false

    func run() throws {
        let registry = Environment.registry
        guard let name else {
            if markdown { return Terminal.write(Reference.document(registry) + "\n") }
            let width = registry.names.map(\.count).max() ?? 0
            for name in registry.names {
                let padding = String(repeating: " ", count: width - name.count)
                Terminal.paragraph("\(name)\(padding)  \(registry[name]?.descriptor.summary ?? "")", hanging: width + 2)
            }
            Terminal.line()
            Terminal.paragraph(
                "`sluice stages NAME` describes one stage and its options. NAME may also be a part of the definition: \(DefinitionGuide.parts.map(\.name).joined(separator: ", "))."
            )
            return
        }
        if registry[name] == nil, let part = DefinitionGuide.part(name) { return describe(part, keys: "Keys") }
        guard let stage = registry[name] else {
            let near = Registry.nearest(to: name, in: registry.names).map { "; did you mean `\($0)`?" } ?? "."
            throw CommandFailure.usage(
                "there is no stage `\(Printable.name(name))`\(near) Known stages are \(registry.names.joined(separator: ", "))."
            )
        }
        describe(stage.descriptor)
    }

    private func describe(_ descriptor: Descriptor, keys: String = "Options") {
        if markdown { return Terminal.write(Reference.section(descriptor, keys: keys).joined(separator: "\n") + "\n") }
        Terminal.paragraph("\(descriptor.name): \(descriptor.summary)")
        var isList = false
        for paragraph in descriptor.discussion.split(separator: "\n") {
            let indent = paragraph.prefix { $0 == " " }.count
            // No blank lines between the entries of a list.
            if !isList || indent == 0 { Terminal.line() }
            isList = indent > 0
            Terminal.paragraph(
                String(paragraph.dropFirst(indent)), indent: indent, hanging: indent == 0 ? 0 : indent + 4)
        }
        guard !descriptor.options.isEmpty else {
            Terminal.line("\nIt has no options.")
            return
        }
        Terminal.line("\n\(keys):")
        for option in descriptor.options {
            Terminal.paragraph("\(option.name)  (\(option.facts))", indent: 2, hanging: 6)
            Terminal.paragraph(option.help, indent: 6)
            if !option.example.isEmpty {
                Terminal.paragraph("example: \(option.name): \(option.example)", indent: 6, hanging: 8)
            }
        }
    }
}
