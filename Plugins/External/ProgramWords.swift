import SluiceCore

/// What messages say of a program. Each is the rest of a sentence that begins with the program.
enum ProgramWords {
    static let startLine = #"{"sluice": 1, "ready": true}"#

    static func noStart(_ seconds: Double) -> String {
        "has not said that it is ready, \(whole(seconds)) s after its start (`start_timeout`); it reads one line and then writes \(startLine) and flushes"
    }

    static func hanging(seconds: Double, answered: Int, of count: Int, hasAllInput: Bool) -> String {
        let got = "has answered \(answered) of \(count) records and then, for \(whole(seconds)) s (`timeout`), nothing"
        guard hasAllInput else { return "\(got); it does not read on. If it computes that long, raise `timeout`" }
        return
            "\(got). If it computes that long, raise `timeout`; if its answers wait in its buffer, let it flush after a record whose `more` is 0; and each record needs an answer, also one that it drops"
    }

    private static func whole(_ seconds: Double) -> Int { Int(seconds.rounded()) }

    /// A line of a program, for a message.
    static func quoted(_ line: UnsafeRawBufferPointer) -> String {
        "`\(Printable.name(String(decoding: line.prefix(4096), as: UTF8.self), most: 160))`"
    }
}
