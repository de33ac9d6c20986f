import Glibc
import SluiceCore
import SluiceEngine
import Synchronization

enum ProgressStyle: String, CaseIterable {
    case bar, plain, json, none

    static var forTerminal: ProgressStyle { Terminal.isTerminal(.error) ? .bar : .plain }
}

/// Shows on standard error how far a run is: a bar that is redrawn, a line now and then, or JSON lines.
final class ProgressDisplay: @unchecked Sendable {
    // `thread` is touched by the thread that starts and stops the display; the rest is constant or atomic.

    private let meter: ProgressMeter
    private let style: ProgressStyle
    private let running = Atomic<Bool>(false)
    private var thread: pthread_t?

    init(_ meter: ProgressMeter, style: ProgressStyle) {
        self.meter = meter
        self.style = style
    }

    func start() {
        guard style != .none else { return }
        running.store(true, ordering: .relaxed)
        var thread = pthread_t()
        let this = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<ProgressDisplay>.fromOpaque(argument).takeRetainedValue().loop() }
                return nil
            }, this.toOpaque())
        if status == 0 { self.thread = thread } else { this.release() }
    }

    /// Ends the display; the bar's line is cleared for what comes next.
    func stop() {
        running.store(false, ordering: .relaxed)
        if let thread { pthread_join(thread, nil) }
        thread = nil
        if style == .bar { Terminal.write("\r\u{1B}[K", to: .error) }
    }

    private func loop() {
        let tick: UInt32 = 50_000
        var elapsed = 0.0
        var last = 0.0
        let interval = style == .bar ? 0.1 : style == .json ? 1.0 : 5.0
        while running.load(ordering: .relaxed) {
            usleep(tick)
            elapsed += Double(tick) / 1e6
            guard elapsed - last >= interval else { continue }
            last = elapsed
            show(meter.state)
        }
    }

    private func show(_ state: ProgressState) {
        switch style {
        case .bar: Terminal.write("\r\u{1B}[K" + Self.bar(state, width: Terminal.width), to: .error)
        case .plain: Terminal.note(Self.words(state))
        case .json: Terminal.note(Self.json(state))
        case .none: break
        }
    }

    private static func fraction(_ state: ProgressState) -> Double? {
        if state.totalBytes > 0 { return min(1, Double(state.bytes) / Double(state.totalBytes)) }
        if state.totalRecords > 0 { return min(1, Double(state.records) / Double(state.totalRecords)) }
        return nil
    }

    /// `[2] reading  ━━━━━━────  61 %  12,345 records  250,000/s  0:12 left`, cut to the terminal's width.
    static func bar(_ state: ProgressState, width: Int) -> String {
        let fraction = fraction(state)
        var tail = ""
        if let fraction { tail += " \(Int(fraction * 100)) %" }
        if state.records > 0 {
            tail += "  \(Format.count(state.records)) records"
            if state.seconds > 0.2 { tail += "  \(Format.count(Int(Double(state.records) / state.seconds)))/s" }
        }
        if let fraction, fraction > 0.02, state.seconds > 0.5 {
            tail += "  \(Format.duration(state.seconds * (1 - fraction) / fraction)) left"
        }
        let head = "[\(state.step)] \(state.phase) "
        let room = min(40, width - head.count - tail.count - 2)
        guard let fraction, room >= 8 else { return String((head + tail).prefix(max(0, width - 1))) }
        let full = Int(Double(room) * fraction)
        return head + String(repeating: "━", count: full) + String(repeating: "─", count: room - full) + tail
    }

    static func words(_ state: ProgressState) -> String {
        var text = "step \(state.step), \(state.phase)"
        if let fraction = fraction(state) { text += ": \(Int(fraction * 100)) %" }
        if state.records > 0 { text += ", \(Format.count(state.records)) records" }
        if state.records > 0, state.seconds > 0.2 {
            text += ", \(Format.count(Int(Double(state.records) / state.seconds)))/s"
        }
        if let fraction = fraction(state), fraction > 0.02 {
            text += ", \(Format.duration(state.seconds * (1 - fraction) / fraction)) left"
        }
        return text
    }

    static func json(_ state: ProgressState) -> String {
        let report: Report = [
            "phase": .text(state.phase), "step": .integer(state.step),
            "bytes": .integer(state.bytes), "total_bytes": .integer(state.totalBytes),
            "records": .integer(state.records), "total_records": .integer(state.totalRecords),
            "seconds": .real((state.seconds * 1000).rounded() / 1000),
        ]
        return report.json
    }
}
