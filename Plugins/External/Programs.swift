import CProcess
import Glibc
import SluiceCore
import Synchronization

/// The running programs of a stage: started when a block needs one, at most so many, ended when no thread needs them.
final class Programs: Sendable {
    private struct State: ~Copyable {
        var idle: [RunningProgram] = []
        /// Threads with a worker.
        var users = 0
        var reply: Handshake.Reply?
    }

    let handshake: Handshake
    let limits: ExchangeLimits
    private let memory: Int
    private let state = Mutex(State())
    private let places: Places?

    /// - Parameter most: programs at a time; nil for one a thread.
    init(_ handshake: Handshake, _ limits: ExchangeLimits, memory: Int, most: Int?) {
        (self.handshake, self.limits, self.memory) = (handshake, limits, memory)
        places = most.map { Places($0) }
    }

    // MARK: Identity

    /// Starts the program once, to learn whether it works and what it calls itself. Later calls answer the same.
    func identify() throws(StageError) -> Handshake.Reply {
        if let known = state.withLock({ $0.reply }) { return known }
        let context = StageContext(name: "external", seed: Seed(0), memory: 0)
        let program = try RunningProgram(handshake.command, memory: memory, stage: context.name, nil)
        let reply: Handshake.Reply
        do throws(ProgramFailure) { reply = try greet(program, context, isCheck: true) } catch {
            program.readErrors()
            RunningProgram.end([program], .none)
            throw .option("command", Self.message(error, handshake.command, program.log))
        }
        RunningProgram.end([program], .short)
        state.withLock { $0.reply = reply }
        return reply
    }

    private func greet(
        _ program: RunningProgram, _ context: StageContext, isCheck: Bool
    ) throws(ProgramFailure) -> Handshake.Reply {
        var exchange = Exchange(program, ByteBuffer(), limits, context)
        let line = handshake.line(stage: context.name, seed: isCheck ? nil : context.seed, isCheck: isCheck)
        let answer = try exchange.ask(line)
        do throws(AnswerFault) { return try Handshake.reply(answer) } catch { throw .broken(error.message) }
    }

    static let nothingSaid = "; it wrote nothing to standard error"

    static func message(_ failure: ProgramFailure, _ command: ProgramCommand, _ log: ErrorLog) -> String {
        switch failure {
        case .stopped: "the run stops"
        case .ended(let what): "the program `\(command.shown)` \(what)\(log.words(ifEmpty: nothingSaid))"
        case .broken(let what): "the program `\(command.shown)` \(what)\(log.words())"
        case .refused(let error): error.message
        }
    }

    // MARK: Blocks

    func enter() { state.withLock { $0.users += 1 } }

    /// A program that runs and waits for records; starts one if none is idle.
    ///
    /// Give it back, or end it and call `lost()`.
    func take(_ context: StageContext) throws(ProgramFailure) -> RunningProgram {
        try places?.take(context)
        while let idle = state.withLock({ $0.idle.popLast() }) {
            guard idle.ending != nil else { return idle }
            // It ended between two batches and owes nothing.
            RunningProgram.end([idle], .none)
        }
        do throws(ProgramFailure) { return try start(context) } catch {
            places?.give()
            throw error
        }
    }

    private func start(_ context: StageContext) throws(ProgramFailure) -> RunningProgram {
        let program: RunningProgram
        do throws(StageError) {
            program = try RunningProgram(handshake.command, memory: memory, stage: context.name, context.journal)
        } catch { throw .refused(error) }
        let reply: Handshake.Reply
        do throws(ProgramFailure) { reply = try greet(program, context, isCheck: false) } catch {
            program.readErrors()
            RunningProgram.end([program], .none)
            let message = Self.message(error, handshake.command, program.log)
            if case .stopped = error { throw error }
            throw .refused(StageError(.io, message))
        }
        let known = state.withLock { state in
            if state.reply == nil { state.reply = reply }
            return state.reply
        }
        guard known == reply else {
            RunningProgram.end([program], .none)
            throw .refused(
                StageError(
                    .invalidData,
                    "the program `\(handshake.command.shown)` calls itself `\(reply.words)`, and was `\(known?.words ?? "")` when the run began"
                ))
        }
        return program
    }

    func giveBack(_ program: RunningProgram) {
        state.withLock { $0.idle.append(program) }
        places?.give()
    }

    /// The program that was taken has ended.
    func lost() { places?.give() }

    /// A thread needs none any more; the last one ends them all.
    ///
    /// - Throws: `StageError` if one wrote more than its answers.
    func leave(_ context: StageContext) throws(StageError) {
        let ending = state.withLock { state -> [RunningProgram] in
            state.users -= 1
            guard state.users == 0 else { return [] }
            defer { state.idle = [] }
            return state.idle
        }
        let extra = RunningProgram.end(ending, context.isStopped ? .none : .usual)
        guard extra == 0 else {
            throw StageError(
                .invalidData,
                "the program `\(handshake.command.shown)` wrote more after its last answer; each record has one answer, on one line"
            )
        }
    }
}

/// Places for a number of programs; a thread waits for one.
private final class Places: Sendable {
    private let file: Int32

    init(_ count: Int) { file = sluice_places(UInt32(count)) }

    deinit { close(file) }

    func take(_ context: StageContext) throws(ProgramFailure) {
        var value: UInt64 = 0
        while read(file, &value, 8) != 8 {
            if context.isStopped { throw .stopped }
            var waiting = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
            poll(&waiting, 1, 100)
        }
    }

    func give() {
        var one: UInt64 = 1
        write(file, &one, 8)
    }
}
