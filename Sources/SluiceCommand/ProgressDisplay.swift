import Glibc
import SluiceCore
import SluiceEngine
import Synchronization

enum ProgressStyle: String, CaseIterable {
    case bar, plain, json, none

    static var forTerminal: ProgressStyle { Terminal.isTerminal(.error) ? .bar : .plain }
}

/// Shows the progress of a run on standard error: a bar that is redrawn, a line every few seconds, or JSON lines.
final class ProgressDisplay: @unchecked Sendable {
    // Only the thread that starts and stops the display uses `thread`; the rest is constant or atomic.

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

    /// Ends the display and clears the line of the bar.
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
        var pace = Pace()
        while running.load(ordering: .relaxed) {
            usleep(tick)
            elapsed += Double(tick) / 1e6
            let state = meter.state
            pace.note(state)
            guard elapsed - last >= interval else { continue }
            last = elapsed
            show(state, pace)
        }
    }

    private func show(_ state: ProgressState, _ pace: Pace) {
        switch style {
        case .bar:
            let width = Terminal.columns(of: .error)
            Terminal.write("\r\u{1B}[K" + Self.bar(state, pace, width: width), to: .error)
        case .plain: Terminal.note(Self.words(state, pace))
        case .json: Terminal.write(Self.json(state) + "\n", to: .error)
        case .none: break
        }
    }

    /// `[2] reading  ━━━━━━────  61 %  12,345 records  250,000/s  0:12 left`, cut to the terminal's width.
    static func bar(_ state: ProgressState, _ pace: Pace, width: Int) -> String {
        let fraction = state.fraction
        let head = "[\(state.step)] \(Printable.name(state.phase, most: max(8, width / 3))) "
        // In the order shown. On a narrow terminal, parts with a higher rank are left out first.
        var parts: [(text: String, rank: Int)] = []
        if let fraction { parts.append((" \(Int(fraction * 100)) %", 0)) }
        if state.records > 0 {
            parts.append(("  \(Format.count(state.records)) records", 2))
            if let rate = pace.rate { parts.append(("  \(Format.count(rate))/s", 3)) }
        }
        if let left = pace.secondsLeft { parts.append(("  \(Format.duration(left)) left", 1)) }
        func size() -> Int { parts.reduce(head.count) { $0 + $1.text.count } }
        while size() > width - 1, let last = parts.indices.max(by: { parts[$0].rank < parts[$1].rank }) {
            parts.remove(at: last)
        }
        let tail = parts.map(\.text).joined()
        let room = min(40, width - head.count - tail.count - 2)
        guard let fraction, room >= 8 else { return String((head + tail).prefix(max(0, width - 1))) }
        let full = Int(Double(room) * fraction)
        return head + String(repeating: "━", count: full) + String(repeating: "─", count: room - full) + tail
    }

    static func words(_ state: ProgressState, _ pace: Pace) -> String {
        var text = "step \(state.step), \(state.phase)"
        if let fraction = state.fraction { text += ": \(Int(fraction * 100)) %" }
        if state.records > 0 { text += ", \(Format.count(state.records)) records" }
        if state.records > 0, let rate = pace.rate { text += ", \(Format.count(rate))/s" }
        if let left = pace.secondsLeft { text += ", \(Format.duration(left)) left" }
        return text
    }

    static func json(_ state: ProgressState) -> String {
        let report: JSONValue = [
            "phase": .text(state.phase), "step": .integer(state.step),
            "bytes": .integer(state.bytes), "total_bytes": .integer(state.totalBytes),
            "records": .integer(state.records), "total_records": .integer(state.totalRecords),
            "seconds": .real((state.seconds * 1000).rounded() / 1000),
        ]
        return report.json
    }
}

extension ProgressState {
    /// The fraction of the phase that is done; nil if unknown.
    var fraction: Double? {
        if totalBytes > 0 { return min(1, Double(bytes) / Double(totalBytes)) }
        if totalRecords > 0 { return min(1, Double(records) / Double(totalRecords)) }
        return nil
    }
}

/// The speed of a phase over its last ten seconds. A resumed run skips finished work almost at once, and the speed of
/// that says nothing about the rest.
struct Pace {
    private static let window = 10.0
    private var states: [ProgressState] = []

    mutating func note(_ state: ProgressState) {
        if let last = states.last, last.step != state.step || last.seconds > state.seconds { states = [] }
        states.append(state)
        while state.seconds - states[0].seconds > Self.window { states.removeFirst() }
    }

    private var elapsed: Double { (states.last?.seconds ?? 0) - (states.first?.seconds ?? 0) }

    /// Records per second; nil until it can be estimated.
    var rate: Int? {
        guard let first = states.first, let last = states.last, elapsed > 0.2 else { return nil }
        return Int(Double(last.records - first.records) / elapsed)
    }

    var secondsLeft: Double? {
        guard let first = states.first?.fraction, let last = states.last?.fraction, elapsed > 0.5, last > first else {
            return nil
        }
        return elapsed * (1 - last) / (last - first)
    }
}
