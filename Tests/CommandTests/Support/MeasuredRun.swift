import Glibc

/// A run of the program, and its measured peak memory.
struct MeasuredRun {
    let outcome: Outcome
    /// VmHWM in bytes, read from outside while the program runs; the last few milliseconds are missed.
    let peak: Int
}

extension Program {
    /// Runs the program to its end and measures its memory from outside.
    static func measure(_ arguments: [String], in folder: String) throws -> MeasuredRun {
        let peak = PeakWatch()
        let outcome = try run(arguments, in: folder) { peak.look(at: $0) }
        return MeasuredRun(outcome: outcome, peak: peak.most)
    }
}

/// The largest VmHWM read from a process.
private final class PeakWatch {
    private(set) var most = 0

    func look(at pid: pid_t) {
        guard let status = try? readFile("/proc/\(pid)/status") else { return }
        let name = "VmHWM:"
        for line in text(status).split(separator: "\n") where line.hasPrefix(name) {
            let kibibytes = Int(line.dropFirst(name.count).split(separator: " ").first.map(String.init) ?? "") ?? 0
            most = max(most, kibibytes << 10)
        }
    }
}
