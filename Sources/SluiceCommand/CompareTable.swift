import SluiceCore

/// A table with a line per figure and a column per run. Runs that do not fit next to each other go into further blocks.
enum CompareTable {
    /// - Parameter width: the greatest width of a line, in columns.
    static func lines(_ reports: [JSONValue], width: Int) -> [String] {
        let labels = rows(reports)
        let margin = labels.map(\.name.count).max() ?? 0
        let columns = reports.enumerated().map { index, report in ["[\(index + 1)]"] + labels.map { $0.cell(report) } }
        var lines = reports.enumerated().flatMap { index, report in
            Terminal.wrapped(
                "[\(index + 1)] \(Printable.name(report["run"]?.textValue ?? "")): \(report["choice"]?.textValue ?? "")",
                width: width, hanging: 4)
        }
        var next = 0
        while next < columns.count {
            var widths: [Int] = []
            // At least one run per block, however narrow the terminal is.
            while next + widths.count < columns.count {
                let size = columns[next + widths.count].map(\.count).max() ?? 0
                guard widths.isEmpty || margin + widths.reduce(size + 2, { $0 + $1 + 2 }) <= width else { break }
                widths.append(size)
            }
            lines.append("")
            for (row, name) in ([""] + labels.map(\.name)).enumerated() {
                var line = name + String(repeating: " ", count: margin - name.count)
                for (offset, size) in widths.enumerated() {
                    let cell = columns[next + offset][row]
                    line += "  " + String(repeating: " ", count: size - cell.count) + cell
                }
                lines.append(line)
            }
            next += widths.count
        }
        return lines
    }

    private struct Row {
        let name: String
        let cell: (JSONValue) -> String
    }

    private static func rows(_ reports: [JSONValue]) -> [Row] {
        func real(_ name: String, _ key: String, _ digits: Int = 4) -> Row {
            Row(name: name) { $0[key]?.realValue.map { Format.decimal($0, digits: digits) } ?? "-" }
        }
        func count(_ name: String, _ key: String) -> Row {
            Row(name: name) { $0[key]?.integerValue.map { Format.count($0) } ?? "-" }
        }
        func share(_ name: String, _ part: String, _ whole: String) -> Row {
            Row(name: name) { report in
                guard let part = report[part]?.integerValue, let whole = report[whole]?.integerValue else { return "-" }
                return "\(Format.count(part)) of \(Format.count(whole))"
            }
        }
        var rows = [
            count("records in the pool", "records"), count("  sampled", "pool_sample"), count("kept", "kept"),
            real("radius", "radius"), real("mean distance", "mean_distance"),
            real("median distance", "median_distance"), real("90 % within", "distance_90"),
            real("99 % within", "distance_99"), real("effective rank", "effective_rank", 1),
            real("  of the pool", "effective_rank_of_pool", 1), real("NovelSum", "novel_sum"),
            share("clusters reached", "clusters_reached", "clusters"),
        ]
        if reports.contains(where: { $0["random"] != nil }) { insertRandom(&rows, reports) }
        if reports.contains(where: { $0["already"] != nil }) { rows.insert(count("  earlier picks", "already"), at: 3) }
        if reports.contains(where: { $0["labels"] != nil }) {
            rows.append(share("labels reached", "labels_reached", "labels"))
        }
        return rows
    }

    /// Adds the figures of random sets, and those of the run beside which they stand, if these are of fewer records.
    private static func insertRandom(_ rows: inout [Row], _ reports: [JSONValue]) {
        let isSmaller = reports.contains { report in
            report["random"].map { $0["pool_sample"] != report["pool_sample"] } ?? false
        }
        for (name, key) in [("radius", "radius"), ("mean distance", "mean_distance")] {
            func decimal(_ figure: String, _ digits: Int) -> (JSONValue) -> String {
                { $0["random"]?[key]?[figure]?.realValue.map { Format.decimal($0, digits: digits) } ?? "-" }
            }
            guard let index = rows.firstIndex(where: { $0.name == name }) else { continue }
            var added = [
                Row(name: isSmaller ? "  of random sets in it" : "  of random sets", cell: decimal("mean", 4)),
                Row(name: "  p", cell: decimal("p", 2)),
            ]
            if isSmaller { added.insert(Row(name: "  in the small sample", cell: decimal("run", 4)), at: 0) }
            rows.insert(contentsOf: added, at: index + 1)
        }
        guard isSmaller, let index = rows.firstIndex(where: { $0.name == "  sampled" }) else { return }
        rows.insert(
            Row(name: "  small sample") { $0["random"]?["pool_sample"]?.integerValue.map { Format.count($0) } ?? "-" },
            at: index + 1)
    }
}
