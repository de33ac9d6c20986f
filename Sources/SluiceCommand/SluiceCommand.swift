import ArgumentParser
public import SluiceCore
import SluiceEngine

/// The command-line program, for programs of your own that add stages:
///
///     import SluiceCommand
///
///     SluiceCommand.main(adding: [MyStage.self])
public enum SluiceCommand {
    /// Runs the command line of this process with the built-in stages and `stages`, and exits.
    public static func main(adding stages: [any Stage.Type] = []) -> Never {
        Environment.registry = stages.reduce(Registry.builtIn) { $0.adding($1) }
        do {
            try Sluice.checkCommandName()
            var command = try Sluice.parseAsRoot()
            try command.run()
        } catch let failure as CommandFailure {
            Terminal.error(failure.message)
            Sluice.exit(withError: ExitCode(failure.status))
        } catch let error as EngineError {
            Terminal.error(error.message)
            Sluice.exit(withError: ExitCode(error.code.exitStatus))
        } catch {
            let status = Sluice.exitCode(for: error)
            guard status != .success, !(error is ExitCode) else { Sluice.exit(withError: error) }
            Terminal.write(Sluice.fullMessage(for: error) + "\n", to: .error)
            // Whatever the parser doesn't like is a wrong command line.
            Sluice.exit(withError: ExitCode(2))
        }
        Sluice.exit()
    }
}

/// What the commands share; set once before any of them runs.
enum Environment {
    nonisolated(unsafe) static var registry = Registry()
}

/// An error with the exit status that belongs to it.
struct CommandFailure: Error {
    let status: Int32
    let message: String

    /// Exit status 2: the command line or the definition is wrong, nothing was read.
    static func usage(_ message: String) -> CommandFailure { CommandFailure(status: 2, message: message) }
    /// Exit status 3: the data is.
    static func data(_ message: String) -> CommandFailure { CommandFailure(status: 3, message: message) }
}

struct Sluice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "Curates corpora of instruction or text records: a stream goes in, gold stays behind.",
        discussion: """
            A definition in YAML says what to read, which stages to run and where to write. Start with
              sluice stages             what there is to choose from
              sluice check FILE         every mistake of a definition at once
              sluice plan FILE          passes, memory and disk, before anything is read
              sluice run FILE           do it
            Exit status: 0 done, 2 wrong command line or definition, 3 wrong data, 4 too little memory or disk,
            130 or 143 stopped by a signal, 1 a fault of the program.
            """,
        version: "sluice \(sluiceVersion)",
        subcommands: [
            RunCommand.self, CheckCommand.self, PlanCommand.self, StagesCommand.self, WhyCommand.self,
            VerifyCommand.self, CompareCommand.self, VectorsCommand.self,
        ])

    /// A wrong name would be taken for an argument too many; this says what it is, and which name is near.
    static func checkCommandName() throws(CommandFailure) {
        guard CommandLine.arguments.count > 1 else { return }
        let given = CommandLine.arguments[1]
        let known = configuration.subcommands.compactMap { $0.configuration.commandName }
        // What the parser puts there itself: `help`, and the requests of a shell that completes.
        guard !given.hasPrefix("-"), !(known + ["help", "completions"]).contains(given) else { return }
        let near = Registry.nearest(to: given, in: known).map { "did you mean `\($0)`?" }
        throw .usage(
            "there is no command `\(given)`; \(near ?? "known are \(known.joined(separator: ", "))")")
    }
}
