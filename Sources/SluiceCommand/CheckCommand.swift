import ArgumentParser
import SluiceCore
import SluiceEngine
import SluiceIO

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Find every mistake in a definition. Reads no data.",
        usage: "sluice check <file> [<options>]",
        discussion: """
            Reports all mistakes of the definition at once, with exit status 2; if there are none, missing inputs and \
            whatever else a run would refuse before it reads anything. Starts the programs of `external`, to see whether they \
            answer. Exit status 4 means that `memory` is less than \
            the run needs. With --tests, exit status 3 means that a test fails.
            """)

    @OptionGroup var source: DefinitionOptions
    @OptionGroup var threads: ThreadOptions

    @Flag(help: "Run the tests of the definition, too, over the records that they give.")
    var tests = false

    func run() throws {
        let definition = try source.definition()
        if tests {
            try runTests(definition)
            return
        }
        let warnings = try Plan.check(
            definition, registry: Environment.registry, threads: try threads.count(for: definition),
            store: Environment.store)
        let stages = definition.stages.map(\.name).joined(separator: ", ")
        for warning in warnings { Terminal.note("warning: \(warning)") }
        Terminal.line("\(source.file): OK (\(stages.isEmpty ? "no stages" : stages))")
    }

    /// Needs no input beside the records of the tests.
    private func runTests(_ definition: Definition) throws {
        guard !definition.tests.isEmpty else {
            throw CommandFailure.usage(
                "\(source.file) has no `tests`; `sluice stages definition` shows how to write some")
        }
        Signals.install(LastWords(directory: nil))
        let run = TestRun(
            definition, registry: Environment.registry, threads: try threads.count(for: definition),
            isStopped: Signals.isStopped)
        var failed = 0
        for test in definition.tests {
            let differences: [String]
            do {
                differences = try run.differences(of: test).map { "record \($0.record): \($0.message)" }
            } catch let error as EngineError {
                guard error.code != .stopped else { throw error }
                differences = [error.message]
            } catch let error as IOFailure {
                differences = [error.description]
            }
            guard !differences.isEmpty else { continue }
            failed += 1
            for difference in differences { Terminal.line("test `\(Printable.name(test.name))`, \(difference)") }
        }
        let all = "\(definition.tests.count) \(definition.tests.count == 1 ? "test" : "tests")"
        guard failed == 0 else { throw CommandFailure.data("\(source.file): \(failed) of \(all) failed") }
        Terminal.line("\(source.file): \(all) passed")
    }
}
