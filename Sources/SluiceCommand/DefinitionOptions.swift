import ArgumentParser
import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluicePipeline

/// The definition and what may be said about it on the command line.
struct DefinitionOptions: ParsableArguments {
    @Argument(help: "The definition, a YAML file.", completion: .file(extensions: ["yaml", "yml"]))
    var file: String

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "Replace a value of the definition, such as stages.coreset.keep=1%. May be given several times.",
            valueName: "key=value"))
    var overrides: [String] = []

    @Option(
        help: ArgumentHelp(
            "Read these files instead; may be given several times. - is standard input.", valueName: "file"))
    var input: [String] = []

    @Option(help: ArgumentHelp("Write to this directory instead.", valueName: "directory"))
    var output: String?

    @Option(help: ArgumentHelp("Memory for the whole process, such as 512MiB.", valueName: "size"))
    var memory: String?

    @Option(help: "Draw with this seed instead.")
    var seed: String?

    /// The definition, checked.
    func definition() throws -> Definition {
        guard file != "-" else {
            throw CommandFailure.usage(
                "`-`: a definition is read from a file, not from standard input. To read records from there, give a definition and `--input -`."
            )
        }
        let text: String
        do {
            text = String(decoding: try FileSystem.local.contents(of: file), as: UTF8.self)
        } catch {
            throw CommandFailure.usage(error.description)
        }
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
        add(["output", "directory"], output, "output")
        add(["memory"], memory, "memory")
        add(["seed"], seed, "seed")
        do throws(DefinitionErrors) {
            let definition = try DefinitionFile.parse(
                text: text, path: file, registry: Environment.registry, overrides: all,
                folder: Self.folder(of: file))
            guard problems.isEmpty else { throw DefinitionErrors(problems) }
            return definition
        } catch {
            throw Self.failure(problems + error.problems, file: file)
        }
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

/// How many threads to work with.
struct ThreadOptions: ParsableArguments {
    @Option(help: "Threads to work with (default: as many as there are cores, and no more than `memory` has room for).")
    var threads: Int?

    /// For a run of the definition: what is not said is chosen so that it fits.
    func count(for definition: Definition) throws -> Int {
        let count = try count()
        return threads == nil
            ? try Plan.threads(definition, registry: Environment.registry, atMost: count) : count
    }

    func count() throws -> Int {
        guard let threads else { return max(1, min(64, sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
        guard (1...256).contains(threads) else {
            throw CommandFailure.usage("--threads \(threads): give a number from 1 to 256")
        }
        return threads
    }
}
