import SluiceCore
import SluiceEngine

/// The page of `sluice report`: one HTML file without scripts and without anything from elsewhere.
struct ReportPage {
    /// How every page begins, by which one can be told from other files.
    static let beginning = "<!doctype html>\n<!-- sluice report -->\n"

    private let report: Report

    init(_ report: Report) { self.report = report }

    private struct Section {
        let id: String
        let title: String
        let about: String
        let body: (RunReport) -> String
    }

    /// How much a page shows of each run.
    struct Detail {
        /// The most characters of a record's field.
        let characters: Int
        /// The most points of the map's pool, and as many of its kept records.
        let points: Int
        /// The most rows of a table of labels or files.
        let rows: Int
    }

    /// The size that a page keeps to by showing less, in bytes, as far as that goes: less of each record first, then less
    /// of each run.
    private static let largest = 2_000_000
    private static let details = [
        Detail(characters: RecordText.mostShown, points: .max, rows: 200),
        Detail(characters: 300, points: .max, rows: 200),
        Detail(characters: 80, points: 1000, rows: 100), Detail(characters: 80, points: 300, rows: 40),
        Detail(characters: 20, points: 100, rows: 20),
    ]

    /// The page.
    var html: String {
        var page = ""
        for detail in Self.details {
            page = html(detail)
            if page.utf8.count < Self.largest { break }
        }
        return page
    }

    private func sections(_ detail: Detail) -> [Section] {
        [
            Section(
                id: "flow", title: "Flow of records",
                about: "Where records left, stage by stage. The height of the band is the number of records.",
                body: Self.flow),
            Section(
                id: "labels", title: "Labels and files",
                about:
                    "How each label and each input file is represented before and after. 2.00×: its part of the kept records is twice its part of the input.",
                body: { Self.representation($0, detail) }),
            Section(
                id: "map", title: "Map",
                about:
                    "A sample of the pool, and of the kept records, by the first two principal components of their vectors. Records that are near each other are alike; far ones may still look near, since two components show only a part.",
                body: { Self.map($0, detail) }),
            Section(
                id: "certificate", title: "Certificate",
                about:
                    "The radius is the largest distance from a record to the nearest kept one. No choice of as many records has a radius below the lower bound; the factor is the radius divided by it, so 1 is the best possible. Distances are chord distances, 0 to 2.",
                body: Self.certificate),
            Section(
                id: "curve", title: "Radius by budget",
                about:
                    "How far the pool is from the kept records if only the first picks of every group are kept. Measured on a sample of the pool. Where the curve is flat, a smaller budget costs little.",
                body: Self.curve),
            Section(
                id: "distances", title: "Distances of dropped records",
                about: "How far dropped records are from the kept record that each lost to.", body: Self.distances),
            Section(
                id: "resources", title: "Time and memory",
                about: "What each phase took, and how much of the memory budget it was lent.", body: Self.resources),
            Section(
                id: "pairs", title: "Pairs",
                about:
                    "Dropped records beside the record that each lost to: the nearest ones, and one at random. Words that only one of them has are marked.",
                body: { Self.pairs($0, most: detail.characters) }),
            Section(
                id: "records", title: "Records to read",
                about:
                    "Kept and dropped records, drawn at random by their content, the same in every report of the run.",
                body: { Self.records($0, most: detail.characters) }),
            Section(
                id: "definition", title: "Definition", about: "What was run, with all defaults.",
                body: {
                    "<details><summary>as JSON</summary><pre>\(HTML.text($0.definition.prettyJSON))</pre></details>\n"
                }),
        ]
    }

    private func html(_ detail: Detail) -> String {
        let sections = sections(detail)
        let names = report.runs.map { HTML.text($0.name) }
        let links = sections.map { "<a href=\"#\($0.id)\">\($0.title)</a>" }.joined(separator: "\n")
        return Self.beginning + """
            <html lang="en"><head><meta charset="utf-8">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
            <meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
            <meta name="generator" content="sluice \(sluiceVersion)">
            <title>Report: \(names.joined(separator: ", "))</title>
            <style>
            \(Self.style)</style></head>
            <body\(names.count > 1 ? " class=\"several\"" : "")>
            <header><h1>\(names.count == 1 ? "Report of \(names[0])" : "Report of \(names.count) runs")</h1>
            \(comparability)</header>
            <main>
            \(section("summary", "Summary", nil, Self.summary))<nav aria-label="Sections">\(links)</nav>
            \(sections.map { section($0.id, $0.title, $0.about, $0.body) }.joined())</main>
            <footer>Made by sluice \(HTML.text(sluiceVersion)). This page is one file and loads nothing.</footer>
            </body></html>

            """
    }

    private var comparability: String {
        guard report.runs.count > 1, !report.samePool else { return "" }
        return "<p class=\"warn\">The runs differ in input or embedding; their distances can't be compared.</p>\n"
    }

    private func section(_ id: String, _ title: String, _ about: String?, _ body: (RunReport) -> String) -> String {
        let single = report.runs.count == 1
        let parts = report.runs.map { run in
            single ? body(run) : "<div class=\"run\"><h3>\(HTML.text(run.name))</h3>\n\(body(run))</div>\n"
        }.joined()
        return """
            <section id="\(id)" aria-labelledby="\(id)-title"><h2 id="\(id)-title">\(title)</h2>
            \(about.map { "<p class=\"about\">\($0)</p>\n" } ?? "")\(single ? parts : "<div class=\"runs\">\(parts)</div>\n")</section>

            """
    }

    /// The sentences about a figure that the run has no data for; nil if it has.
    static func missing(_ figure: RunReport.Figure, _ run: RunReport) -> String? {
        let sentences = run.missing.filter { $0.figure == figure }.map(\.sentence)
        return sentences.isEmpty
            ? nil : sentences.map { "<p class=\"none\">\(HTML.text($0))</p>\n" }.joined()
    }

    // MARK: Summary

    private static func summary(_ run: RunReport) -> String {
        let warnings = run.warnings.map { "<li>\(HTML.text($0))</li>" }.joined()
        let list = warnings.isEmpty ? "" : "<div class=\"warn\"><strong>Warnings</strong><ul>\(warnings)</ul></div>\n"
        let counts = run.counts
        func card(_ number: String, _ words: String) -> String {
            "<div class=\"card\"><strong>\(number)</strong> \(HTML.text(words))</div>"
        }
        var cards = [
            card(Format.count(counts.kept), "kept, \(share(counts.kept, of: counts.read)) of the input"),
            card(Format.count(counts.read), "read"), card(Format.count(counts.dropped), "dropped"),
        ]
        if counts.quarantined > 0 { cards.append(card(Format.count(counts.quarantined), "malformed")) }
        for certificate in run.certificates {
            for figure in certificate.figures where figure.name == "share of the best at least" {
                let percent = Format.decimal((figure.value * 1000).rounded(.down) / 10, digits: 1)
                cards.append(card("≥ \(percent) %", "of what the best choice is worth (\(certificate.stage))"))
            }
            for figure in certificate.figures where ["factor", "largest factor"].contains(figure.name) {
                cards.append(
                    card(
                        "≤ \(Format.decimal(figure.value, digits: 2))",
                        "times the best possible radius\(certificate.per == nil ? "" : " in every group") (\(certificate.stage))"
                    ))
            }
        }
        if let labels = run.labels {
            cards.append(
                card(
                    "\(Format.count(labels.reached)) of \(Format.count(labels.values))",
                    "values of \(labels.field) are among the kept"))
        }
        if run.time.peak > 0 {
            cards.append(
                card(
                    MemorySize.describe(run.time.peak),
                    "peak memory of \(MemorySize.describe(run.time.budget)), in \(Format.duration(run.time.seconds))"))
        }
        return list + "<div class=\"cards\">\(cards.joined(separator: "\n"))</div>\n"
    }

    /// `12.5 %`, with more digits for small parts.
    static func share(_ part: Int, of whole: Int) -> String {
        guard whole > 0 else { return "–" }
        let value = 100 * Double(part) / Double(whole)
        return Format.decimal(value, digits: value < 1 ? 2 : 1) + " %"
    }
}
