import SluiceCore

extension ReportPage {
    // MARK: Flow

    /// Something that records leave at: malformed lines, or a stage.
    private struct Exit {
        let name: String
        let reasons: [RunReport.Count]
        let (entering, leaving): (Int, Int)

        var lost: Int { entering - leaving }
    }

    static func flow(_ run: RunReport) -> String {
        let good = run.counts.read - run.counts.quarantined
        let input = Exit(name: "input", reasons: run.malformed, entering: run.counts.read, leaving: good)
        let all =
            (input.lost > 0 ? [input] : [])
            + run.stages.map {
                Exit(name: $0.stage, reasons: $0.dropped, entering: $0.entering, leaving: $0.leaving)
            }
        let exits = all.filter { $0.lost > 0 }
        let name =
            "\(Format.count(run.counts.read)) records read; "
            + exits.map { "\($0.name) drops \(Format.count($0.lost))" }.joined(separator: "; ")
            + "; \(Format.count(run.counts.kept)) kept"
        let rows = all.map { exit in
            [
                HTML.text(exit.name), Format.count(exit.entering), Format.count(exit.leaving),
                exit.lost == 0 ? "–" : Format.count(exit.lost),
                exit.lost == 0 ? "–" : share(exit.lost, of: run.counts.read),
                exit.reasons.map { "\(HTML.text($0.name)) \(Format.count($0.count))" }.joined(separator: ", "),
            ]
        }
        let table = HTML.table(
            "Records by stage", head: ["stage", "in", "out", "dropped", "of the input", "reasons"], numbers: 1..<5, rows
        )
        return (exits.isEmpty ? "" : picture(exits, run, name)) + table
    }

    private static func picture(_ exits: [Exit], _ run: RunReport, _ name: String) -> String {
        let step = 170.0, top = 40.0, height = 150.0
        let width = 130 + step * Double(exits.count) + 110
        func thickness(_ count: Int) -> Double {
            count == 0 ? 0 : max(1.5, height * Double(count) / Double(max(1, run.counts.read)))
        }
        var parts = HTML.label(8, top - 18, Format.count(run.counts.read), anchor: "start", of: "strong")
        parts += HTML.label(8, top - 3, "read", anchor: "start", of: "soft")
        var x = 0.0
        for (index, exit) in exits.enumerated() {
            let begin = index == 0 ? 0.0 : x
            let end = 130 + step * Double(index)
            let (before, after, lost) = (thickness(exit.entering), thickness(exit.leaving), thickness(exit.lost))
            parts += band(begin, end, top, before)
            // What leaves bends down from the lower edge of the band.
            let bottom = top + height + 34, turn = end + 50
            let from = top + before - lost
            parts +=
                "<path class=\"fd\" d=\"M\(HTML.short(end)) \(HTML.short(from))C\(HTML.short(turn)) \(HTML.short(from)) \(HTML.short(turn + lost / 3)) \(HTML.short(from + 20)) \(HTML.short(turn + lost / 3)) \(HTML.short(bottom))H\(HTML.short(turn))C\(HTML.short(turn)) \(HTML.short(top + before + 4)) \(HTML.short(end + 24)) \(HTML.short(top + before)) \(HTML.short(end)) \(HTML.short(top + before))Z\"/>"
            let middle = turn + lost / 6
            parts += HTML.label(middle, bottom + 17, cut(exit.name, 22), of: "strong")
            for (line, reason) in exit.reasons.prefix(2).enumerated() {
                parts += HTML.label(
                    middle, bottom + 34 + 16 * Double(line), "\(cut(reason.name, 16)) \(Format.count(reason.count))",
                    of: "soft")
            }
            if exit.reasons.count > 2 {
                parts += HTML.label(
                    middle, bottom + 66, "and \(exit.reasons.count - 2) more", of: "soft")
            }
            x = end
            parts += band(x, x + 2, top, after)
        }
        parts += band(x, width - 100, top, thickness(run.counts.kept))
        parts += HTML.label(width - 94, top + 6, Format.count(run.counts.kept), anchor: "start", of: "strong")
        parts += HTML.label(width - 94, top + 22, "kept", anchor: "start", of: "soft")
        return HTML.figure(name, width: Int(width), height: 300, parts)
    }

    private static func band(_ from: Double, _ to: Double, _ top: Double, _ thickness: Double) -> String {
        "<rect class=\"fk\" x=\"\(HTML.short(from))\" y=\"\(HTML.short(top))\" width=\"\(HTML.short(max(0, to - from) + 0.6))\" height=\"\(HTML.short(thickness))\"/>"
    }

    static func cut(_ text: String, _ most: Int) -> String {
        text.count <= most ? text : String(text.prefix(most - 1)) + "…"
    }

    // MARK: Labels and files

    static func representation(_ run: RunReport, _ detail: Detail) -> String {
        var parts = ""
        if let labels = run.labels {
            let lost =
                labels.values == labels.reached
                ? ""
                : " \(Format.count(labels.values - labels.reached)) \(labels.values - labels.reached == 1 ? "has" : "have") no kept record."
            parts +=
                "<p>\(Format.count(labels.reached)) of \(Format.count(labels.values)) values of <code>\(HTML.text(labels.field))</code> are among the kept records.\(lost)</p>\n"
            parts += values(labels, run, detail)
        } else {
            parts += missing(.labels, run) ?? ""
        }
        return parts + (missing(.files, run) ?? tallies("Input files", "file", run.files, run, detail.rows))
    }

    /// The values of a label: all of them if they are few, else those that gain and lose most.
    private static func values(_ labels: RunReport.LabelTable, _ run: RunReport, _ detail: Detail) -> String {
        let shown = 12
        let listed = Array(labels.listed.prefix(detail.rows))
        guard labels.listed.count > 3 * shown else {
            return tallies("Values of \(labels.field)", "label", labels.listed, run)
        }
        let sorted = labels.listed.enumerated().sorted { a, b in
            // Of two values of a/b and c/d: a·d and c·b are compared, which is exact.
            let (x, y) = (a.element.kept * b.element.read, b.element.kept * a.element.read)
            return x != y ? x > y : a.offset < b.offset
        }.map(\.element)
        let reached = sorted.filter { $0.kept > 0 }
        let more = labels.values - listed.count
        let all =
            "<details><summary>\(more > 0 ? "The \(listed.count) most frequent values" : "All values")</summary>\n\(tallies("Values of \(labels.field), by their number", "label", listed, run))</details>\n"
        let lost =
            labels.lost.isEmpty ? "" : tallies("Lost: no record was kept", "label", labels.lost, run)
        return lost + tallies("Most over-represented", "label", Array(reached.prefix(shown)), run)
            + tallies("Most under-represented of those kept", "label", reached.suffix(shown).reversed(), run) + all
    }

    private static func tallies(
        _ caption: String, _ head: String, _ tallies: [RunReport.Tally], _ run: RunReport, _ most: Int = 200
    ) -> String {
        let good = run.counts.read - run.counts.quarantined
        let rows = tallies.prefix(most).map { tally -> [String] in
            let before = Double(tally.read) / Double(max(1, good))
            let after = Double(tally.kept) / Double(max(1, run.counts.kept))
            let times = before > 0 ? after / before : 0
            let bar =
                "<span class=\"bar\(times < 1 ? " under" : "")\" style=\"width:\(HTML.short(min(90, 24 * times)))px\"></span>"
            return [
                tally.name.isEmpty ? "<i>empty</i>" : HTML.text(tally.name), Format.count(tally.read),
                share(tally.read, of: good), Format.count(tally.kept), share(tally.kept, of: run.counts.kept),
                "\(Format.decimal(times, digits: 2))×", bar,
            ]
        }
        let rest = tallies.count > most ? "<p class=\"none\">and \(tallies.count - most) more</p>\n" : ""
        return HTML.table(
            caption, head: [head, "before", "share", "kept", "share", "represented", ""], numbers: 1..<6, rows) + rest
    }

    // MARK: Time and memory

    static func resources(_ run: RunReport) -> String {
        let time = run.time
        let intro =
            "<p>\(Format.duration(time.seconds)) with \(time.threads) \(time.threads == 1 ? "thread" : "threads"); peak memory \(MemorySize.describe(time.peak)) of \(MemorySize.describe(time.budget)).</p>\n"
        if let missing = missing(.phases, run) { return intro + missing }
        let longest = time.phases.map(\.seconds).max() ?? 0
        func bar(_ part: Double) -> String {
            "<span class=\"bar\" style=\"width:\(HTML.short(90 * max(0, min(1, part))))px\"></span>"
        }
        let rows = time.phases.map { phase in
            [
                HTML.text(phase.name), Format.duration(phase.seconds), bar(phase.seconds / max(longest, 1e-9)),
                MemorySize.describe(phase.leased), bar(Double(phase.leased) / Double(max(1, time.budget))),
            ]
        }
        return intro
            + HTML.table(
                "Phases", head: ["phase", "time", "", "memory lent", "of the budget"], numbers: 1..<2, rows)
    }
}
