import ArgumentParser
import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO

struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Write a definition to start with, after a look at your files.",
        usage: "sluice init <recipe> <file>... [--to <definition>]",
        discussion: Terminal.help(
            "The recipes:\n"
                + Recipe.allCases.map { recipe in
                    let padding = String(repeating: " ", count: 10 - recipe.rawValue.count)
                    return "  \(recipe.rawValue)\(padding)\(recipe.summary)"
                }.joined(separator: "\n")))

    @Argument(help: ArgumentHelp("The recipe, such as select.", valueName: "recipe"))
    var recipe: String?

    @Argument(help: ArgumentHelp("Files or patterns with your records.", valueName: "file"), completion: .file())
    var files: [String] = []

    @Option(help: ArgumentHelp("The definition to write; - is standard output.", valueName: "definition"))
    var to = "curate.yaml"

    func run() throws {
        let names = Recipe.allCases.map(\.rawValue)
        guard let given = self.recipe else {
            throw CommandFailure.usage(
                "name a recipe (\(names.joined(separator: ", "))) and the files with your records, such as `sluice init select data/*.jsonl.zst`"
            )
        }
        guard let recipe = Recipe(rawValue: given) else {
            let near = Registry.nearest(to: given, in: names).map { "did you mean `\($0)`?" }
            throw CommandFailure.usage(
                "there is no recipe `\(Printable.name(given))`; \(near ?? "the recipes are \(names.joined(separator: ", "))")"
            )
        }
        guard !files.isEmpty else {
            throw CommandFailure.usage(
                "name the files with your records, such as `sluice init \(recipe.rawValue) data/*.jsonl.zst`")
        }
        guard !files.contains("-") else {
            throw CommandFailure.usage("a definition names files; write standard input to a file first")
        }
        guard to == "-" || access(to, F_OK) != 0 else {
            throw CommandFailure.usage("\(to) is there already, and stays as it is; name another file with --to")
        }
        let look = try look()
        let text = recipe.text(look, files: try definedFiles(), directory: "out", name: to == "-" ? "curate.yaml" : to)
        guard to != "-" else { return Terminal.write(text) }
        do throws(IOFailure) { try FileSystem.local.write(Array(text.utf8), to: to) } catch {
            throw CommandFailure(status: 4, message: error.description)
        }
        Terminal.line("wrote \(to)")
        if let schema = look.schema { Terminal.line("  records: \(schema)") }
        if let label = look.labels.first {
            Terminal.line("  a label: \(Printable.name(label.name)), \(label.values?.count ?? 0) values")
        }
        Terminal.line("next: sluice check \(to)")
    }

    private func look() throws -> InputLook {
        var input = InputSpec(files: files)
        input.limit = InputLook.most
        var look = InputLook()
        var start: [UInt8] = []
        try input.forEachFirstLine(in: Environment.store) { line in
            if let record = try? JSONValue(json: Array(line)), case .object = record { look.add(record) }
            if start.count < 4096 { start += line + [0x0A] }
        }
        guard look.records > 0 else {
            let format = start.withUnsafeBytes { ForeignFormat.guess($0) }
            let guess = format.map { " It looks like \($0.name): \($0.advice(files[0]))." } ?? ""
            throw CommandFailure.data("\(files[0]): none of the first lines is a record.\(guess)")
        }
        return look
    }

    /// The files as the definition names them: relative to its folder, which is that of `to`.
    private func definedFiles() throws -> [String] {
        guard to.contains("/"), to != "-" else { return files }
        return try files.map { file in
            guard !file.hasPrefix("/"), !InputSpec.isAddress(file) else { return file }
            guard let working = realpath(".", nil) else {
                throw CommandFailure.usage("the working directory can't be read; name files by their full paths")
            }
            defer { free(working) }
            return "\(String(cString: working))/\(file)"
        }
    }
}
