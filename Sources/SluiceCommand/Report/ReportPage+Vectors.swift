import SluiceCore

extension ReportPage {
    // MARK: Map

    static func map(_ run: RunReport, _ detail: Detail) -> String {
        guard let map = run.map else { return missing(.map, run) ?? "" }
        let size = 640.0
        func place(_ value: Int) -> Double { Double(value) / 1000 * size }
        func dots(_ isKept: Bool) -> String {
            // In the order of their draws, so the first ones are a sample, too.
            let path = map.points.filter { $0.isKept == isKept }.prefix(detail.points).map {
                "M\(HTML.short(place($0.x))) \(HTML.short(place($0.y)))h0"
            }.joined()
            return "<path class=\"\(isKept ? "dk" : "dp")\" d=\"\(path)\"/>"
        }
        var parts = "<rect class=\"axis\" width=\"\(size)\" height=\"\(size)\"/>" + dots(false) + dots(true)
        // Names that would cover each other are only in the table.
        var taken: [(x: Double, y: Double)] = []
        for region in map.regions where !region.words.isEmpty {
            let (x, y) = (max(80, min(size - 80, place(region.x))), max(16, min(size - 8, place(region.y))))
            guard !taken.contains(where: { abs($0.x - x) < 150 && abs($0.y - y) < 18 }) else { continue }
            taken.append((x, y))
            parts += HTML.label(x, y, region.words.prefix(2).joined(separator: ", "), of: "halo strong")
        }
        let rows = map.regions.map { region in
            [
                region.words.isEmpty ? "–" : HTML.text(region.words.joined(separator: ", ")), percent(region.pool),
                percent(region.kept),
                "\(Format.decimal(region.pool > 0 ? region.kept / region.pool : 0, digits: 2))×",
            ]
        }
        let key =
            "<p class=\"key\"><i style=\"background:var(--pool)\"></i>pool <i style=\"background:var(--kept)\"></i>kept. The two components have \(percent(map.share)) of the variance of the vectors.</p>\n"
        return key
            + HTML.figure(
                "Map of the pool and the kept records; its regions are in the table below", width: Int(size),
                height: Int(size), parts)
            + HTML.table(
                "Regions, named by their typical words (k-means of a sample of \(Format.count(map.sampled)) records)",
                head: ["words", "of the pool", "of the kept", "represented"], numbers: 1..<4, rows)
    }

    private static func percent(_ share: Double) -> String { Format.decimal(100 * share, digits: 1) + " %" }

    // MARK: Certificate

    static func certificate(_ run: RunReport) -> String {
        if let missing = missing(.certificate, run) { return missing }
        return run.certificates.map { certificate in
            let title =
                "<h3>\(HTML.text(certificate.stage)): \(HTML.text(certificate.method))\(certificate.per.map { " per \(HTML.text($0))" } ?? "")</h3>\n"
            let figures = HTML.table(
                "Figures of \(certificate.stage)", head: certificate.figures.map { HTML.text($0.name) },
                numbers: 0..<certificate.figures.count,
                [certificate.figures.map { Format.decimal($0.value, digits: 4) }])
            return title + figures + groups(certificate)
        }.joined()
    }

    private static func groups(_ certificate: RunReport.StageCertificate) -> String {
        guard !certificate.groups.isEmpty else { return "" }
        func decimal(_ value: Double?) -> String { value.map { Format.decimal($0, digits: 3) } ?? "–" }
        let rows = certificate.groups.map { group in
            [
                HTML.text(group.key.textValue ?? group.key.json), HTML.text(group.words.joined(separator: ", ")),
                Format.count(group.records), Format.count(group.kept), decimal(group.radius), decimal(group.bound),
                group.factor.map { Format.decimal($0, digits: 2) } ?? "–", decimal(group.mean), decimal(group.within90),
            ]
        }
        let more = certificate.more > 0 ? ", the \(certificate.groups.count) largest" : ""
        let per = certificate.per ?? "group"
        return HTML.table(
            "Groups\(more)",
            head: [
                HTML.text(per), "typical words of kept records", "records", "kept", "radius", "bound", "factor", "mean",
                "90 % within",
            ], numbers: 2..<9, rows)
    }

    // MARK: Curve

    static func curve(_ run: RunReport) -> String {
        guard run.curve.count > 1, let last = run.curve.last else {
            return missing(.curve, run) ?? "<p class=\"none\">Too few records were kept for a curve.</p>\n"
        }
        let (left, top, width, height) = (46.0, 12.0, 560.0, 250.0)
        let highest = max(0.1, run.curve.map(\.radius).max() ?? 0) * 1.05
        func x(_ kept: Int) -> Double { left + width * Double(kept) / Double(max(1, last.kept)) }
        func y(_ value: Double) -> Double { top + height * (1 - value / highest) }
        func line(_ kind: String, _ value: (RunReport.CurvePoint) -> Double) -> String {
            let points = run.curve.map { "\(HTML.short(x($0.kept))),\(HTML.short(y(value($0))))" }
            return "<polyline class=\"\(kind)\" points=\"\(points.joined(separator: " "))\"/>"
        }
        var parts = ""
        for part in [0.0, 0.25, 0.5, 0.75, 1] {
            let at = y(highest * part)
            parts +=
                "<path class=\"axis\" d=\"M\(HTML.short(left)) \(HTML.short(at))H\(HTML.short(left + width))\"/>"
                + HTML.label(left - 6, at + 4, Format.decimal(highest * part, digits: 2), anchor: "end", of: "soft")
            parts += HTML.label(
                x(Int(Double(last.kept) * part)), top + height + 18, Format.count(Int(Double(last.kept) * part)),
                of: "soft")
        }
        parts += line("sk") { $0.radius } + line("sp") { $0.mean }
        parts += HTML.label(left + width / 2, top + height + 36, "kept records", of: "soft")
        if let middle = run.curve.dropFirst(run.curve.count / 2).first {
            parts += HTML.label(x(middle.kept), y(middle.radius) - 8, "radius", of: "strong halo")
            parts += HTML.label(x(middle.kept), y(middle.mean) - 8, "mean distance", of: "strong halo")
        }
        let quarter = run.curve.first { 4 * $0.kept >= last.kept } ?? last
        let name =
            "Radius by budget: \(Format.decimal(quarter.radius, digits: 3)) with \(Format.count(quarter.kept)) records, \(Format.decimal(last.radius, digits: 3)) with \(Format.count(last.kept))"
        let rows = run.curve.enumerated().filter { $0.offset % 4 == 3 || $0.offset == run.curve.count - 1 }.map(
            \.element
        )
        .map { point in
            [
                Format.count(point.kept), Format.decimal(point.radius, digits: 4),
                Format.decimal(point.mean, digits: 4),
            ]
        }
        return HTML.figure(name, width: 640, height: 310, parts)
            + HTML.table("Radius by budget", head: ["kept", "radius", "mean distance"], numbers: 0..<3, rows)
    }

    // MARK: Distances

    static func distances(_ run: RunReport) -> String {
        if let missing = missing(.distances, run) { return missing }
        return run.distances.map { distances in
            let bins = distances.bins
            let last = min(bins.count, (bins.lastIndex { $0 > 0 } ?? 0) + 2)
            let most = Double(max(1, bins.max() ?? 1))
            let (left, width, height) = (10.0, 600.0, 140.0)
            let step = width / Double(last)
            var parts = ""
            for index in 0..<last {
                let size = height * Double(bins[index]) / most
                let from = Double(index) * RunReport.Distances.step
                let range =
                    "\(Format.decimal(from, digits: 2)) to \(Format.decimal(from + RunReport.Distances.step, digits: 2))"
                parts +=
                    "<rect class=\"fk\" x=\"\(HTML.short(left + step * Double(index)))\" y=\"\(HTML.short(8 + height - size))\" width=\"\(HTML.short(max(1, step - 2)))\" height=\"\(HTML.short(size))\"><title>\(range): \(Format.count(bins[index]))</title></rect>"
                if index % 4 == 0 {
                    parts += HTML.label(
                        left + step * Double(index), height + 26, Format.decimal(from, digits: 1), of: "soft")
                }
            }
            parts += HTML.label(left + width / 2, height + 44, "chord distance", of: "soft")
            // Half of the records are not farther than this.
            var (before, middle) = (0, 0)
            for (index, count) in bins.enumerated() where 2 * before < distances.count {
                before += count
                middle = index
            }
            let half = Format.decimal(Double(middle + 1) * RunReport.Distances.step, digits: 2)
            let name =
                "\(distances.stage): half of the \(Format.count(distances.count)) dropped records are within \(half)"
            return "<p>\(HTML.text(name)).</p>\n" + HTML.figure(name, width: 620, height: 194, parts)
        }.joined()
    }
}
