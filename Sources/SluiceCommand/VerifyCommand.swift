import ArgumentParser
import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluicePipeline

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check that inputs and outputs of a run are what they were, and that its account closes.",
        discussion: "With --rerun the run is done again in a temporary directory and its results are compared too.")

    @Argument(help: ArgumentHelp("The output directory of the run.", valueName: "run"), completion: .directory)
    var directory: String

    @Flag(help: "Do the run again and compare.")
    var rerun = false

    @Option(
        help: ArgumentHelp("Where the folder of the run's definition lies, if it was moved.", valueName: "folder"),
        completion: .directory)
    var folder: String?

    @OptionGroup var threads: ThreadOptions

    func run() throws {
        let reader = try RunReader(directory)
        var faults = try reader.verify(inputFolder: folder)
        if rerun, faults.isEmpty { faults += try repeated(reader) }
        guard faults.isEmpty else {
            throw CommandFailure.data(
                "\(directory) does not verify:\n" + faults.map { "  \($0)" }.joined(separator: "\n"))
        }
        let counts = reader.manifest["counts"]
        Terminal.line(
            "\(directory): inputs, outputs and account verify (\(Format.count(counts?["read"]?.integerValue ?? 0)) read, \(Format.count(counts?["kept"]?.integerValue ?? 0)) kept)\(rerun ? "; the run came out the same again" : "")"
        )
    }

    /// Runs the manifest's own definition again; says what came out otherwise.
    private func repeated(_ reader: RunReader) throws -> [String] {
        let manifest = reader.manifest
        let timing = manifest["timing"]
        let folder = self.folder ?? timing?["folder"]?.textValue ?? "."
        var template = Array("/tmp/sluice-verify-XXXXXX".utf8CString)
        if let base = getenv("TMPDIR") { template = Array("\(String(cString: base))/sluice-verify-XXXXXX".utf8CString) }
        guard mkdtemp(&template) != nil else {
            throw CommandFailure(status: 4, message: "no temporary directory can be made")
        }
        let target = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? FileSystem.local.removeTree(target) }
        let definition: Definition
        do throws(DefinitionErrors) {
            definition = try DefinitionFile.parse(
                text: (manifest["definition"] ?? .null).json, path: "\(folder)/\(RunReader.definitionName)",
                registry: Environment.registry,
                overrides: [
                    Override(["output", "directory"], target, spelling: "output"),
                    Override(
                        ["memory"], String(timing?["memory_budget"]?.integerValue ?? Definition.defaultMemory),
                        spelling: "memory"),
                ])
        } catch {
            throw CommandFailure.usage("the run's definition can't be read any more: \(error)")
        }
        let again = try Run(
            definition, registry: Environment.registry, options: RunOptions(threads: try threads.count(for: definition))
        ).run()
        return RunReader.differences(manifest, again.manifest)
    }
}
