import ArgumentParser
import SluiceCore
import SluicePipeline

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "Print a JSON Schema of definitions, for editors.",
        discussion: """
            With it an editor completes keys and stages, shows their help and marks mistakes. For editors with the YAML \
            language server, write the schema to a file and begin a definition with a comment that names it:

            sluice schema > sluice.schema.json

            # yaml-language-server: $schema=sluice.schema.json
            """)

    func run() { Terminal.line(DefinitionSchema.json(Environment.registry).prettyJSON) }
}
