import SluiceEngine

/// What `plan --workers` prints: a row for each phase, sums, and what limits the run. No line is wider than 80 columns.
struct ScaleTable {
    let estimate: ScaleEstimate
    let request: ScaleEstimate.Request

    private static let widths = (phase: 11, tasks: 9, time: 9, size: 8, memory: 7)

    func show() {
        let input = "\(Self.size(Double(estimate.inputBytes))) in \(Self.counted(estimate.files, "file"))"
        Terminal.paragraph(
            "input: \(input), \(Self.counted(estimate.parts, "part")), about \(Format.count(estimate.records)) records",
            hanging: 2)
        Terminal.paragraph(
            request.measurement == nil
                ? "rates: those of the program (docs/scale.md); --measured RUN_DIR takes yours"
                : "rates: scaled to the measured run", hanging: 2)
        Terminal.line()
        row("phase", "tasks", "CPU", estimate.workers.map { "on \(Self.short($0))" }, "read", "written", "memory")
        for phase in estimate.phases {
            row(
                phase.name, Format.count(phase.tasks), Self.time(phase.seconds), phase.walls.map(Self.time),
                Self.size(phase.read), Self.size(phase.written), Self.size(Double(phase.memory)))
        }
        row(
            "all", Format.count(estimate.tasks), Self.time(estimate.seconds),
            estimate.workers.indices.map { Self.time(estimate.wall($0)) },
            Self.size(estimate.phases.reduce(0) { $0 + $1.read }),
            Self.size(estimate.phases.reduce(0) { $0 + $1.written }), "")
        Terminal.line()
        showSums()
        for line in limits { Terminal.paragraph("limit: \(line)", hanging: 2) }
    }

    private func showSums() {
        Terminal.paragraph(
            "critical path: \(Self.time(estimate.criticalPath)); no number of workers makes it shorter", hanging: 2)
        Terminal.paragraph(
            "disk: \(Self.size(estimate.phases.reduce(0) { $0 + $1.written })) of work files and outputs until the end",
            hanging: 2)
        let moved = estimate.phases.reduce(0) { $0 + $1.read + $1.written }
        for (place, workers) in estimate.workers.enumerated() {
            let wall = estimate.wall(place)
            let busy = 100 * estimate.seconds / (wall * Double(workers * estimate.threads))
            Terminal.paragraph(
                "\(Self.counted(workers, "worker")): \(Self.time(wall)), busy \(Format.decimal(busy, digits: 0)) % of it, \(Self.size(moved / wall)) a second from and to the file system",
                hanging: 2)
        }
    }

    /// The phases that keep the largest number of workers waiting longest, and why.
    private var limits: [String] {
        guard let workers = estimate.workers.max(), let place = estimate.workers.firstIndex(of: workers) else {
            return []
        }
        let all = estimate.wall(place)
        func lost(_ phase: ScaleEstimate.Phase) -> Double {
            phase.walls[place] - phase.seconds / Double(workers * estimate.threads)
        }
        return estimate.phases.filter { lost($0) > 0.05 * all }.sorted { lost($0) > lost($1) }.prefix(3).map { phase in
            let share = Format.decimal(100 * phase.walls[place] / all, digits: 0)
            return
                "`\(phase.name)`, \(share) % of the time on \(Format.count(workers)): \(reason(phase, workers, place))"
        }
    }

    private func reason(_ phase: ScaleEstimate.Phase, _ workers: Int, _ place: Int) -> String {
        if phase.transfer >= phase.walls[place] { return "the file system; more bandwidth helps, more workers don't" }
        if phase.tasks == 1 { return phase.isSerial ? "one task on one CPU" : "one task; more --threads help" }
        if phase.tasks < workers {
            return "\(Format.count(phase.tasks)) tasks, so other workers wait"
                + (phase.isSerial ? "" : "; more --threads and fewer workers help")
        }
        return "the last tasks run while other workers wait; fewer workers waste less"
    }

    private func row(
        _ phase: String, _ tasks: String, _ cpu: String, _ walls: [String], _ read: String, _ written: String,
        _ memory: String
    ) {
        let widths = Self.widths
        var line = phase + Self.spaces(widths.phase - phase.count) + Self.right(tasks, widths.tasks)
        for text in [cpu] + walls { line += Self.right(text, widths.time) }
        for text in [read, written] { line += Self.right(text, widths.size) }
        line += Self.right(memory, widths.memory)
        while line.hasSuffix(" ") { line.removeLast() }
        Terminal.line(line)
    }

    private static func right(_ text: String, _ width: Int) -> String { spaces(max(1, width - text.count)) + text }
    private static func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }

    /// `1,000`, `10k`, `1M`.
    private static func short(_ count: Int) -> String {
        count < 10_000
            ? Format.count(count) : count < 1_000_000 ? "\(count / 1000)k" : "\(count / 1_000_000)M"
    }

    private static func counted(_ count: Int, _ name: String) -> String {
        "\(Format.count(count)) \(name)\(count == 1 ? "" : "s")"
    }

    /// `0.3 s`, `12 min`, `3.4 h`, `12 d`.
    private static func time(_ seconds: Double) -> String {
        // So long that the figure says nothing but that another way must be found.
        seconds >= 1000 * 86400 * 365
            ? "> 999 y" : figure(seconds, [("s", 1), ("min", 60), ("h", 3600), ("d", 86400), ("y", 86400 * 365)])
    }

    /// `512 MB`, `1.2 TB`.
    private static func size(_ bytes: Double) -> String {
        figure(bytes, [("B", 1), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("PB", 1e15)])
    }

    /// With one decimal below 10.
    private static func figure(_ value: Double, _ units: [(name: String, factor: Double)]) -> String {
        let unit = units.last { value >= $0.factor } ?? units[0]
        let scaled = value / unit.factor
        let isWhole = scaled >= 9.95 || unit.name == "B"
        return "\(Format.decimal(min(scaled, 1e9), digits: isWhole ? 0 : 1)) \(unit.name)"
    }
}
