import ArgumentParser
import SluiceCore
import SluiceEngine
import SluiceIO
import SluicePipeline

struct TaskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "task", abstract: "Do one task of a prepared run.",
        usage: "sluice task <directory> <task> [<options>]",
        discussion: Terminal.help(
            """
            `sluice run FILE --prepare` prepares a run directory and lists the tasks. Each can be done by another process, \
            or on another machine that sees the same files. A task may start once the files that it reads exist; it may be \
            stopped at any instant and done again, and one that is done does nothing. The result is that of `sluice run`, \
            byte for byte. `sluice run FILE --resume` does all tasks that are left.
            """))

    @Argument(help: "The run directory.", completion: .directory)
    var directory: String

    @Argument(help: "The task, such as read.0.")
    var task: String

    @Option(
        help: ArgumentHelp("Memory for this process, such as 512MiB (default: that of the run).", valueName: "size"))
    var memory: String?

    @OptionGroup var threads: ThreadOptions

    @Option(help: "How to show progress (default: bar on a terminal, plain elsewhere).")
    var progress: ProgressStyle?

    @Flag(help: "With `finish`: keep the work files in the run directory.")
    var keepWork = false

    func run() throws {
        do {
            if try !TaskRun.isFinished(directory) { return try perform() }
        } catch let error as EngineError {
            // Another process may have finished the run since.
            guard error.code != .stopped, try TaskRun.isFinished(directory) else { throw error }
        }
        Terminal.note("\(directory) is already complete; nothing was done")
    }

    private func perform() throws {
        let plan = try TaskRun.plan(in: directory)
        let definition = try definition(plan)
        var options = try threads.options(for: definition)
        options.keepWork = keepWork
        plan.setLimits(of: &options)
        options.isStopped = Signals.isStopped
        let meter = ProgressMeter()
        let run = try TaskRun(definition, registry: Environment.registry, options: options, progress: meter)
        guard let known = run.tasks.task(named: task) else {
            let near = Registry.nearest(to: task, in: run.tasks.map(\.id)).map { "; did you mean `\($0)`?" }
            throw CommandFailure.usage(
                "\(directory) has no task `\(Printable.name(task))`\(near ?? "; it has \(run.tasks.names)")")
        }
        let stopped = "; the task can be done again"
        Signals.install(LastWords(directory: nil, otherwise: stopped))
        let display = ProgressDisplay(meter, style: progress ?? .forTerminal)
        display.start()
        let result: RunResult?
        do {
            result = try run.perform(known)
        } catch let error as EngineError where error.code == .stopped {
            Signals.settle()
            display.stop()
            let words = Signals.message(EngineError(.stopped, error.message), otherwise: stopped)
            throw CommandFailure(status: Signals.exitStatus, message: words)
        } catch {
            Signals.settle()
            display.stop()
            throw error
        }
        Signals.settle()
        display.stop()
        guard let result else { return }
        if result.wasComplete { Terminal.note("\(directory) is already complete; nothing was done") }
        Summary.show(result, definition)
    }

    private func definition(_ plan: TaskRun.Plan) throws -> Definition {
        do throws(DefinitionErrors) {
            return try DefinitionFile.parse(
                text: plan.definition.json, path: "\(plan.folder)/\(RunReader.definitionName)",
                registry: Environment.registry, composition: .none,
                overrides: [
                    Override(["output", "directory"], directory, spelling: "output"),
                    Override(["memory"], memory ?? String(plan.memory), spelling: "memory"),
                ] + (plan.answers.map { [Override(["answers"], $0, spelling: "answers")] } ?? []))
        } catch {
            throw CommandFailure.usage("the plan in \(directory) can't be read: \(error)")
        }
    }
}

extension TaskList {
    /// `hash.0 to hash.7, duplicates.0, finish`.
    fileprivate var names: String {
        ends.map { first, last in first == last ? first : "\(first) to \(last)" }.joined(separator: ", ")
    }

    /// Prints the tasks as JSON, one object a line in a list.
    ///
    /// - Parameter seconds: the estimated CPU seconds of a task.
    func print(seconds: ((RunTask) -> Double)? = nil) {
        Terminal.write("[")
        var lines = ""
        for (place, task) in enumerated() {
            lines += (place == 0 ? "\n" : ",\n") + task.json(seconds?(task))
            guard lines.utf8.count > 64 << 10 else { continue }
            Terminal.write(lines)
            lines = ""
        }
        Terminal.write(lines + "\n]\n")
    }
}

extension RunTask {
    fileprivate func json(_ seconds: Double?) -> String {
        let estimate = seconds.map { [JSONValue.Entry("seconds", .real(($0 * 1000).rounded() / 1000))] } ?? []
        return JSONValue.object(
            [
                .init("task", .text(id)), .init("phase", .text(phase)), .init("reads", .list(inputs.map { .text($0) })),
                .init("writes", .list(outputs.map { .text($0) })), .init("memory", .integer(memory)),
                .init("leases", .object(leases.map { .init($0.name, .integer($0.bytes)) })),
                .init("threads", .integer(threads)), .init("bytes", .integer(bytes)),
            ] + estimate
        ).json
    }
}
