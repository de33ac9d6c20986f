import ArgumentParser
import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluicePipeline

/// The definition, and the options that override its values.
struct DefinitionOptions: ParsableArguments {
    @Argument(help: "The definition, a YAML file.", completion: .file(extensions: ["yaml", "yml"]))
    var file: String

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "Replace a value of the definition, such as stages.coreset.keep=1%. Repeatable.",
            valueName: "key=value"))
    var overrides: [String] = []

    @Option(
        help: ArgumentHelp(
            "Read this file, pattern or s3:// address instead; - is standard input. Repeatable.", valueName: "file"))
    var input: [String] = []

    @Option(
        help: ArgumentHelp(
            "Write to this directory instead; with -, also write the kept records to standard output.",
            valueName: "directory"))
    var output: String?

    @Option(help: ArgumentHelp("Memory for the whole process, such as 512MiB.", valueName: "size"))
    var memory: String?

    @Option(help: "Use this seed instead.")
    var seed: String?

    /// Whether kept records go to standard output, too; the directory is then that of the definition.
    var printsKept: Bool { output == "-" }

    /// The definition, checked.
    ///
    /// - Parameter limit: how many records to read; nil for what the definition says.
    func definition(limit: String? = nil) throws -> Definition {
        guard file != "-" else {
            throw CommandFailure.usage(
                "`-`: a definition is read from a file, not from standard input. To read records from there, give a definition and `--input -`."
            )
        }
        let text = try Self.text(of: file)
        var all: [Override] = []
        var problems: [Problem] = []
        for override in overrides {
            do throws(Problem) { all.append(try Override(override)) } catch { problems.append(error) }
        }
        func add(_ path: [String], _ value: String?, _ option: String) {
            guard let value else { return }
            all.append(Override(path, value, spelling: "--\(option) \(value)"))
        }
        if !input.isEmpty {
            let spelling = input.map { "--input \($0)" }.joined(separator: " ")
            all.append(Override(["input", "files"], list: input, spelling: spelling))
        }
        add(["output", "directory"], printsKept ? nil : output, "output")
        add(["memory"], memory, "memory")
        add(["seed"], seed, "seed")
        add(["input", "limit"], limit, "limit")
        do throws(DefinitionErrors) {
            let definition = try DefinitionFile.parse(
                text: text, path: file, registry: Environment.registry,
                composition: .files { path throws(Problem) in
                    do throws(CommandFailure) { return try Self.text(of: path) } catch { throw Problem(error.message) }
                },
                overrides: all, folder: Self.folder(of: file))
            guard problems.isEmpty else { throw DefinitionErrors(problems) }
            return definition
        } catch {
            throw Self.failure(problems + error.problems, file: file)
        }
    }

    private static func text(of file: String) throws(CommandFailure) -> String {
        let bytes: [UInt8]
        do throws(IOFailure) {
            bytes = try FileSystem.local.contents(of: file)
        } catch {
            guard error.errno == EISDIR else { throw .usage(error.description) }
            let names = ((try? FileSystem.local.entries(of: file)) ?? []).filter {
                $0.hasSuffix(".yaml") || $0.hasSuffix(".yml")
            }
            let held =
                names.isEmpty
                ? "" : "; it contains \(names.prefix(5).map { Printable.name($0) }.joined(separator: ", "))"
            throw .usage("\(file) is a folder; name a definition, which is a YAML file\(held)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let isUTF16 = bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
            throw .usage("\(file) is \(isUTF16 ? "UTF-16" : "not UTF-8"); a definition must be UTF-8 text")
        }
        return text
    }

    private static func folder(of file: String) -> DefinitionFolder? {
        func real(_ path: String) -> String? {
            guard let resolved = realpath(path, nil) else { return nil }
            defer { free(resolved) }
            let path = String(cString: resolved)
            return path == "/" ? "" : path
        }
        let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? "."
        guard let folder = real(folder), let working = real(".") else { return nil }
        return DefinitionFolder(folder: folder, working: working)
    }

    private static func failure(_ problems: [Problem], file: String) -> CommandFailure {
        var seen: Set<Problem> = []
        let unique = problems.filter { seen.insert($0).inserted }
        let lines = unique.map(\.description).joined(separator: "\n")
        let count = unique.count == 1 ? "1 mistake" : "\(unique.count) mistakes"
        return .usage("\(file): \(count); nothing was read\n\(lines)")
    }
}

/// The option `--threads`.
struct ThreadOptions: ParsableArguments {
    @Option(help: "Threads to use (default: one per core, fewer if `memory` is small).")
    var threads: Int?

    /// For a run of `definition`: without `--threads`, as many as cores and memory allow.
    func count(for definition: Definition) throws -> Int {
        let count = try count()
        return threads == nil
            ? try Plan.threads(
                definition, registry: Environment.registry, atMost: count, store: Environment.store) : count
    }

    /// The options of a run of `definition`, beside those of the command line.
    func options(for definition: Definition) throws -> RunOptions {
        var options = RunOptions(threads: try count(for: definition))
        options.store = Environment.store
        return options
    }

    /// The fewest threads that a run may use if memory is short.
    var fewest: Int? { threads ?? 1 }

    /// Without `--threads`, as many as there are cores, at most 64.
    func count() throws -> Int {
        guard let threads else { return RunOptions.coreCount }
        guard (1...256).contains(threads) else {
            throw CommandFailure.usage("--threads \(threads): give a number from 1 to 256")
        }
        return threads
    }
}
