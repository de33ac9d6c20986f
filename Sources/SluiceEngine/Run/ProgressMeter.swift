import Glibc
import SluiceCore
import Synchronization

/// How far a run is, for whoever shows it.
package struct ProgressState: Sendable {
    /// What is being done: `reading`, `cluster`, `writing`.
    package var phase = "starting"
    /// From 1, as `plan` numbers them; more than one thing may be done in a phase.
    package var step = 0
    /// Bytes of the input files, as they lie on disk, used up in this phase, and how many there are; 0 where unknown.
    package var bytes = 0
    package var totalBytes = 0
    /// Records or rows done in this phase, and how many there are; 0 where unknown.
    package var records = 0
    package var totalRecords = 0
    /// Seconds since the phase began.
    package var seconds = 0.0
}

/// Counts what the phases do; a display asks for the state when it wants to show it.
package final class ProgressMeter: Sendable {
    private let bytes = Atomic<Int>(0)
    private let records = Atomic<Int>(0)
    private let phase = Mutex<(state: ProgressState, began: Double)>((ProgressState(), 0))

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
        phase.withLock { $0 = (state, now) }
    }

    func read(bytes count: Int) { bytes.wrappingAdd(count, ordering: .relaxed) }
    func read(records count: Int) { records.wrappingAdd(count, ordering: .relaxed) }

    package var state: ProgressState {
        var (state, began) = phase.withLock { $0 }
        state.bytes = bytes.load(ordering: .relaxed)
        state.records = records.load(ordering: .relaxed)
        state.seconds = monotonicSeconds() - began
        return state
    }
}

/// Seconds of a clock that never goes back; for rates and `timing`, never for results.
package func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
