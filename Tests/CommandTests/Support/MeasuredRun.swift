import Glibc

/// A run of the program, and the most memory that it was seen to hold.
struct MeasuredRun {
    let outcome: Outcome
    /// VmHWM in bytes, read from outside while the program ran; the last few milliseconds are not seen.
    let peak: Int
}

extension Program {
    /// Runs the program to its end and looks at its memory from outside meanwhile.
    static func measure(_ arguments: [String], in folder: String) throws -> MeasuredRun {
        let peak = PeakWatch()
        let outcome = try run(arguments, in: folder) { peak.look(at: $0) }
        return MeasuredRun(outcome: outcome, peak: peak.most)
    }
}

/// The largest VmHWM of a process that was read.
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
