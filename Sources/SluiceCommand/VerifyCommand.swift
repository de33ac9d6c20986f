import ArgumentParser
import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluicePipeline

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check inputs, outputs and counts of a run against its run.json.",
        usage: "sluice verify <run> [<options>]",
        discussion: """
            Lists what was checked and what was not. --rerun repeats the run in a temporary directory and compares all \
            results. With --stored-vectors it needs no embedding model, and floating-point models of other machines can't make a \
            difference.
            """)

    @Argument(help: ArgumentHelp("The output directory of the run.", valueName: "run"), completion: .directory)
    var directory: String

    @Flag(help: "Repeat the run and compare all results.")
    var rerun = false

    @Flag(
        help: ArgumentHelp(
            "With --rerun: take the vectors from the run's vectors.npy (`vectors_of: all`) instead of computing them again."
        ))
    var storedVectors = false

    @Option(
        help: ArgumentHelp("The folder of the run's definition, if it has moved.", valueName: "folder"),
        completion: .directory)
    var folder: String?

    @OptionGroup var threads: ThreadOptions

    func run() throws {
        guard rerun || !storedVectors else {
            throw CommandFailure.usage("--stored-vectors goes with --rerun")
        }
        let reader = try RunReader(directory, store: Environment.store)
        var result = try reader.verify(inputFolder: folder)
        if rerun, result.faults.isEmpty {
            result.faults += try repeated(reader)
            result.unchecked = []
        }
        guard result.faults.isEmpty else {
            throw CommandFailure.data(
                "\(directory) does not verify:\n" + result.faults.map { "  \($0)" }.joined(separator: "\n"))
        }
        let counts = reader.manifest["counts"]
        func count(_ key: String) -> String { Format.count(counts?[key]?.integerValue ?? 0) }
        Terminal.line("\(directory) verifies: \(count("read")) read, \(count("kept")) kept")
        Terminal.paragraph("checked: \(result.checked.joined(separator: ", "))", indent: 2, hanging: 4)
        if rerun {
            Terminal.line("  repeated\(storedVectors ? " with its stored vectors" : ""), it gives the same results")
        }
        guard !result.unchecked.isEmpty else { return }
        Terminal.paragraph(
            "not checked: \(result.unchecked.joined(separator: ", ")); --rerun repeats the run and compares",
            indent: 2, hanging: 4)
    }

    /// The answer log of the run, from which the repeated one answers.
    private func answers(_ reader: RunReader) throws -> [Override] {
        guard let log = reader.manifest["timing"]?["answer_log"]?.textValue else { return [] }
        let own = "\(directory)/\(AnswerBook.folderName)"
        func exists(_ folder: String) -> Bool {
            (try? FileSystem.local.status(of: "\(folder)/\(AnswerLog.fileName)")) ?? nil != nil
        }
        guard let folder = [log, own].first(where: exists) else {
            throw CommandFailure.data("\(log): the answers of the run are gone; repeated, it would ask again")
        }
        return [Override(["answers"], folder, spelling: "answers")]
    }

    /// Runs the manifest's definition again and returns the differences.
    private func repeated(_ reader: RunReader) throws -> [String] {
        let manifest = reader.manifest
        let timing = manifest["timing"]
        let folder = self.folder ?? timing?["folder"]?.textValue ?? "."
        for name in manifest["inputs"]?.elements.compactMap({ $0["file"]?.textValue }) ?? [] {
            let path = name.hasPrefix("/") || InputSpec.isAddress(name) ? name : "\(folder)/\(name)"
            guard name == "-" || (try? Environment.store.status(ofInput: path))??.isStream == true else { continue }
            let what = name == "-" ? "standard input" : name
            Terminal.note("reading \(Printable.name(what)), as the run did; it must be the same input")
        }
        var template = Array("/tmp/sluice-verify-XXXXXX".utf8CString)
        if let base = getenv("TMPDIR") { template = Array("\(String(cString: base))/sluice-verify-XXXXXX".utf8CString) }
        guard mkdtemp(&template) != nil else {
            throw CommandFailure(status: 4, message: "can't create a temporary directory")
        }
        let target = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? FileSystem.local.removeTree(target) }
        let answers = try answers(reader)
        var definition: Definition
        do throws(DefinitionErrors) {
            definition = try DefinitionFile.parse(
                text: (manifest["definition"] ?? .null).json, path: "\(folder)/\(RunReader.definitionName)",
                registry: Environment.registry, composition: .none,
                overrides: [
                    Override(["output", "directory"], target, spelling: "output"),
                    Override(
                        ["memory"], String(timing?["memory_budget"]?.integerValue ?? Definition.defaultMemory),
                        spelling: "memory"),
                ] + answers)
        } catch {
            throw CommandFailure.usage("the run's definition can no longer be read: \(error)")
        }
        var options = try threads.options(for: definition)
        options.isStopped = Signals.isStopped
        let stopped = "; the run was not compared"
        Signals.install(LastWords(directory: nil, otherwise: stopped))
        do {
            if storedVectors { definition = try StoredVectors(reader).replacing(definition) }
            let again = try Run(definition, registry: Environment.registry, options: options).run()
            Signals.settle()
            return storedVectors
                ? RunReader.differences(StoredVectors.results(manifest), StoredVectors.results(again.manifest))
                : RunReader.differences(manifest, again.manifest)
        } catch let error as EngineError where error.code == .stopped {
            Signals.settle()
            let words = Signals.message(EngineError(.stopped, error.message), otherwise: stopped)
            throw CommandFailure(status: Signals.exitStatus, message: words)
        }
    }
}
