import ArgumentParser
import Glibc
public import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceKit

/// The command-line program as a library, for programs that add their own stages:
///
///     import SluiceCommand
///
///     SluiceCommand.main(adding: [MyStage.self])
public enum SluiceCommand {
    /// Runs the command line of this process with the built-in stages and `stages`, and exits: with status 1 if two have
    /// the same name.
    public static func main(adding stages: [any Stage.Type] = []) -> Never {
        StandardStreams.fillClosed()
        if let name = duplicate(among: stages) {
            Terminal.error("two stages are called `\(name)`; give the added one another name in its `Descriptor`")
            end(1)
        }
        Environment.registry = stages.reduce(Registry.builtIn) { $0.adding($1) }
        do {
            try Sluice.checkCommandName()
            var command = try Sluice.parseAsRoot(Arguments.readable(CommandLine.arguments.dropFirst()))
            try command.run()
        } catch let failure as CommandFailure {
            Terminal.error(failure.message)
            end(failure.status)
        } catch let error as EngineError {
            Terminal.error(Words.error(error))
            end(error.code.exitStatus)
        } catch let code as ExitCode {
            end(code.rawValue)
        } catch {
            guard Sluice.exitCode(for: error) != .success else {
                // Help, version and completion scripts are printed unchanged.
                Terminal.write(Sluice.fullMessage(for: error, columns: Terminal.helpColumns) + "\n")
                end(0)
            }
            Terminal.error(Self.complaint(Sluice.message(for: error)))
            // All errors of the parser are mistakes on the command line.
            end(2)
        }
        end(0)
    }

    /// The first name of a stage that is built in or another one's, too.
    static func duplicate(among stages: [any Stage.Type]) -> String? {
        var names = Set(Registry.builtIn.names)
        return stages.map { $0.descriptor.name }.first { !names.insert($0).inserted }
    }

    /// Ends the process, with status 4 if standard output could not be written.
    private static func end(_ status: Int32) -> Never {
        guard status == 0, let number = Terminal.outputFailure else { exit(status) }
        Terminal.error("standard output can't be written: \(String(cString: strerror(number)))")
        exit(4)
    }
}

extension SluiceCommand {
    /// An error of the argument parser, in the style of all other messages.
    private static func complaint(_ message: String) -> String {
        let known = Sluice.configuration.subcommands.compactMap { $0.configuration.commandName }
        let command = CommandLine.arguments.dropFirst().first.flatMap { known.contains($0) ? " \($0)" : nil } ?? ""
        let text = message.prefix(1).lowercased() + message.dropFirst()
        return "\(text)\(text.hasSuffix(".") || text.hasSuffix("?") ? "" : ".") See `sluice\(command) --help`."
    }
}

/// Shared by all commands; set once before any of them runs.
enum Environment {
    nonisolated(unsafe) static var registry = Registry()
    /// Where inputs are found.
    static let store: any InputStore = StandardInputs(isStopped: Signals.isStopped)
}

/// An error with the exit status that belongs to it.
struct CommandFailure: Error {
    let status: Int32
    let message: String

    /// Exit status 2: the command line or the definition is wrong; nothing was read.
    static func usage(_ message: String) -> CommandFailure { CommandFailure(status: 2, message: message) }
    /// Exit status 3: the data is wrong.
    static func data(_ message: String) -> CommandFailure { CommandFailure(status: 3, message: message) }
}

/// Rewrites the command line for the parser.
enum Arguments {
    /// `-:17`, a line of standard input, is not an option: it moves to the end, after `--`.
    static func readable(_ given: some Collection<String>) -> [String] {
        guard given.first == "why", !given.contains("--") else { return Array(given) }
        let places = given.filter { $0.hasPrefix("-:") }
        return places.isEmpty ? Array(given) : given.filter { !$0.hasPrefix("-:") } + ["--"] + places
    }
}

/// Adds advice about flags to the engine's errors, since the engine knows no flags.
enum Words {
    static func error(_ error: EngineError) -> String {
        var sentences: [String] = []
        if let kept = error.kept {
            let place =
                switch kept.records {
                case nil: ""
                case 0: " from its first pass"
                case let records?: " after \(Format.count(records)) records"
                }
            sentences.append("The work so far is in \(kept.directory); --resume continues it\(place).")
        } else if error.remedies == [.resume, .restart] {
            sentences.append("--resume continues it, --force starts over.")
        } else if error.remedies == [.otherDirectory, .restart] {
            sentences.append("Use another output directory, or --force to replace the run in this one.")
        } else if error.remedies.contains(.restart) {
            sentences.append("Start the run again with --force.")
        } else if error.remedies.contains(.otherDirectory) {
            sentences.append("Use another output directory.")
        }
        guard !sentences.isEmpty else { return error.message }
        let end = error.message.hasSuffix(".") || error.message.hasSuffix("\n") ? "" : "."
        let gap = error.message.hasSuffix("\n") ? "" : " "
        return error.message + end + gap + sentences.joined(separator: " ")
    }
}

struct Sluice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "Selects a small training set from a large corpus and accounts for every record it drops.",
        discussion: Terminal.help(
            """
            A YAML file, the definition, names the input, the stages and the output. Start with
              sluice init RECIPE FILES  write a definition, after a look at your files
              sluice stages             list the stages
              sluice check FILE         find every mistake in a definition
              sluice plan FILE          show passes, memory and disk of a run
              sluice run FILE           run it
              sluice report DIRECTORY   show what the run kept and dropped, and why

            Exit status:
              0                success
              1                internal error
              2                wrong command line or definition; nothing was read
              3                invalid data
              4                not enough memory or disk space
              129, 130, 143    stopped by a signal
            """),
        version: "sluice \(sluiceVersion)",
        subcommands: [
            InitCommand.self, CheckCommand.self, PlanCommand.self, ShowCommand.self, RunCommand.self, TaskCommand.self,
            StagesCommand.self, SchemaCommand.self,
            WhyCommand.self, VerifyCommand.self, ReportCommand.self, CompareCommand.self, VectorsCommand.self,
        ])

    /// Reports an unknown command with the nearest name. The parser would call it an unexpected argument.
    static func checkCommandName() throws(CommandFailure) {
        guard CommandLine.arguments.count > 1 else { return }
        let given = CommandLine.arguments[1]
        let known = configuration.subcommands.compactMap { $0.configuration.commandName }
        // The parser handles `help` and the completion requests of a shell itself.
        guard !given.hasPrefix("-"), !(known + ["help", "completions"]).contains(given) else { return }
        let near = Registry.nearest(to: given, in: known).map { "did you mean `\($0)`?" }
        throw .usage(
            "there is no command `\(Printable.name(given))`; \(near ?? "known commands are \(known.joined(separator: ", "))")"
        )
    }
}
