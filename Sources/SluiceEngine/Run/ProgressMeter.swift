import Glibc
import SluiceCore
import Synchronization

/// The progress of a run, for display.
package struct ProgressState: Sendable {
    /// The current phase: `reading`, `cluster`, `writing`.
    package var phase = "starting"
    /// From 1, as in `plan`; a phase may have several parts.
    package var step = 0
    /// Bytes of the input files on disk used up in this phase, and their total; 0 if unknown.
    package var bytes = 0
    package var totalBytes = 0
    /// Records or rows done in this phase, and their total; 0 if unknown.
    package var records = 0
    package var totalRecords = 0
    /// Seconds since the phase began.
    package var seconds = 0.0
    /// The most memory that the budget has lent in this phase, in bytes.
    package var leased = 0
}

/// How long a phase took, and its memory.
struct PhaseTime {
    let name: String
    let seconds: Double
    /// The most that the budget had lent when the phase began, with what is lent for the whole run, in bytes.
    let leased: Int
}

/// Counts the work of the phases; a display reads the state when it needs it.
package final class ProgressMeter: Sendable {
    private let bytes = Atomic<Int>(0)
    private let records = Atomic<Int>(0)
    private let phase = Mutex<(state: ProgressState, began: Double)>((ProgressState(), 0))
    private let ended = Mutex<[PhaseTime]>([])

    package init() {}

    package func begin(_ name: String, step: Int, totalBytes: Int = 0, totalRecords: Int = 0) {
        bytes.store(0, ordering: .relaxed)
        records.store(0, ordering: .relaxed)
        var state = ProgressState()
        state.phase = name
        state.step = step
        state.totalBytes = totalBytes
        state.totalRecords = totalRecords
        let now = monotonicSeconds()
        endPhase(at: now)
        phase.withLock { $0 = (state, now) }
    }

    private func endPhase(at now: Double) {
        let (last, began) = phase.withLock { $0 }
        guard last.step > 0 else { return }
        ended.withLock { $0.append(PhaseTime(name: last.phase, seconds: now - began, leased: last.leased)) }
    }

    /// Notes the memory that the budget has lent in the phase.
    func lent(_ bytes: Int) { phase.withLock { $0.state.leased = max($0.state.leased, bytes) } }

    /// The phases of this process in their order, the current one as if it ended now.
    var phases: [PhaseTime] {
        let (last, began) = phase.withLock { $0 }
        let now = monotonicSeconds()
        let open =
            last.step > 0 ? [PhaseTime(name: last.phase, seconds: now - began, leased: last.leased)] : []
        return ended.withLock { $0 } + open
    }

    /// States how many records the phase will do, once that is known; 0 if it can't tell before its end.
    func expect(records count: Int) { phase.withLock { $0.state.totalRecords = count } }

    // All work of a run passes here, block by block: a place to give memory back from time to time.

    func read(bytes count: Int) {
        bytes.wrappingAdd(count, ordering: .relaxed)
        CodeMemory.giveBack()
    }

    func read(records count: Int) {
        records.wrappingAdd(count, ordering: .relaxed)
        CodeMemory.giveBack()
    }

    package var state: ProgressState {
        var (state, began) = phase.withLock { $0 }
        state.bytes = bytes.load(ordering: .relaxed)
        state.records = records.load(ordering: .relaxed)
        state.seconds = monotonicSeconds() - began
        return state
    }
}

/// Seconds of a monotonic clock, for rates and `timing`, never for results.
package func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
