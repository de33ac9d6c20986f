import Foundation
import Glibc
import SluiceCore
import Testing

/// `report`: its data against plain counts, and its page against hostile records.
@Suite struct ReportTests {
    /// A run with a dedupe, a coreset and malformed lines, on two files with labels.
    private func corpus(_ space: Workspace) throws {
        for file in 0..<2 {
            var lines = (0..<150).map { line in
                let text =
                    "item \(line * line % 97) of shelf \(line % 7) \(line % 3 == 0 ? "blue" : "red") no \(line + file * 140)"
                return #"{"text": "\#(text)", "kind": "\#(line % 50 == 49 ? "rare" : "k\(line % 4)")", "n": \#(line)}"#
            }
            lines += lines[..<6]
            lines.insert("no record", at: 9)
            try space.write("in-\(file).jsonl", lines: lines)
        }
        try space.define(
            files: "in-*.jsonl", input: ["dedupe: {on: [text]}"],
            stages: [
                #"format: {template: "{text}"}"#, "embed: {model: lexical, dimensions: 16}", "cluster: {clusters: 3}",
                "coreset: {keep: 10%, per: cluster}",
            ])
        _ = try space.run()
    }

    private func data(_ space: Workspace, _ arguments: String...) throws -> JSONValue {
        let outcome = try space.sluice(["report", "--data", "-"] + arguments)
        guard outcome.status == 0 else { throw Failure(outcome.errorText) }
        // The last line names the page.
        let json = outcome.output.prefix(through: outcome.output.lastIndex(of: UInt8(ascii: "}")) ?? 0)
        return try JSONValue(json: Array(json))
    }

    @Test func countsAreThoseOfAPlainReading() throws {
        let space = try Workspace()
        try corpus(space)
        let run = try #require(try data(space, "out")["runs"]?.elements.first)
        let files = try RunFiles(space("out"))
        let drops = try files.drops
        var (read, kept): ([String: Int], [String: Int]) = ([:], [:])
        for file in 0..<2 {
            for (index, line) in split(try readFile(space("in-\(file).jsonl"))).enumerated() where line.first == 0x7B {
                let kind = try RunFiles.Entry(line).values["kind"] as? String ?? ""
                let isLost = drops.contains { $0.place == "in-\(file).jsonl:\(index + 1)" }
                for key in ["label \(kind)", "file in-\(file).jsonl"] {
                    read[key, default: 0] += 1
                    kept[key, default: 0] += isLost ? 0 : 1
                }
            }
        }
        // `kind` is the field that looks like a label.
        #expect(run["labels"]?["field"] == "kind")
        for (word, tallies) in [("label", run["labels"]?["listed"]), ("file", run["files"])] {
            let found = tallies?.elements ?? []
            #expect(found.count == (word == "label" ? 5 : 2))
            for tally in found {
                let key = "\(word) \(tally["name"]?.textValue ?? "")"
                #expect(tally["read"]?.integerValue == read[key] && tally["kept"]?.integerValue == kept[key], "\(key)")
            }
        }
        let stages = run["stages"]?.elements ?? []
        #expect(stages.compactMap { $0["stage"]?.textValue } == ["dedupe", "format", "embed", "cluster", "coreset"])
        #expect(run["malformed"] == ["invalid-json": 2])
        let distances = run["distances"]?.elements.first?["records"]?.elements.compactMap(\.integerValue) ?? []
        #expect(distances.reduce(0, +) == drops.count { $0.stage == "coreset" })
        let phases = run["time"]?["phases"]?.elements.compactMap { $0["phase"]?.textValue } ?? []
        #expect(phases.first == "reading" && phases.last == "writing", "\(phases)")

        // Samples are records of the run that met this fate, and pairs are those of the ledger.
        for sample in run["samples"]?.elements ?? [] {
            let records = sample["records"]?.elements ?? []
            #expect(!records.isEmpty)
            for record in records {
                let drop = drops.first { $0.place == record["place"]?.textValue }
                #expect(drop?.stage == sample["stage"]?.textValue && drop?.reason == sample["reason"]?.textValue)
            }
        }
        let pairs = run["pairs"]?.elements ?? []
        #expect(pairs.contains { $0["stage"] == "dedupe" } && pairs.contains { $0["stage"] == "coreset" })
        for pair in pairs {
            let drop = drops.first { $0.place == pair["dropped"]?["place"]?.textValue }
            #expect(drop?.partner == pair["kept"]?["place"]?.textValue)
        }
    }

    /// The end of the curve is what `compare` measures of the whole pool; a larger budget never has a larger radius.
    @Test func theCurveEndsAtTheRun() throws {
        let space = try Workspace()
        try corpus(space)
        let run = try #require(try data(space, "out")["runs"]?.elements.first)
        let curve = run["curve"]?.elements ?? []
        #expect(curve.count > 5)
        for (a, b) in zip(curve, curve.dropFirst()) {
            #expect((a["kept"]?.integerValue ?? 0) < (b["kept"]?.integerValue ?? 0))
            #expect((a["radius"]?.realValue ?? 0) >= (b["radius"]?.realValue ?? 3))
        }
        let compared = try JSONValue(json: try space.sluice("compare", "out", "--json", "--pool-sample", "0").output)
        let figures = compared["runs"]?.elements.first
        #expect(curve.last?["kept"] == figures?["kept"])
        #expect(curve.last?["radius"] == figures?["radius"])
        #expect(
            abs((curve.last?["mean_distance"]?.realValue ?? 0) - (figures?["mean_distance"]?.realValue ?? 3)) < 1e-12)
        let map = run["map"]
        let shares = (map?["regions"]?.elements ?? []).compactMap { $0["share_of_pool"]?.realValue }
        #expect(abs(shares.reduce(0, +) - 1) < 1e-9 && map?["points"]?.elements.count ?? 0 > 200)
    }

    @Test func threadsAndMemoryChangeNothing() throws {
        let space = try Workspace()
        try corpus(space)
        for (name, arguments) in [("a", ["--threads", "1"]), ("b", ["--threads", "3", "--memory", "1GiB"])] {
            let outcome = try space.sluice(
                ["report", "out", "--output", "\(name).html", "--data", "\(name).json"] + arguments)
            #expect(outcome.status == 0, "\(outcome.errorText)")
        }
        for kind in ["html", "json"] {
            #expect(try readFile(space("a.\(kind)")) == (try readFile(space("b.\(kind)"))), "\(kind)")
        }
    }

    // MARK: Hostile text

    /// The tags and attributes of the page; anything else that begins like a tag is a fault.
    private static let tags: Set<String> = [
        "html", "head", "meta", "link", "title", "style", "body", "header", "main", "section", "nav", "footer", "h1",
        "h2",
        "h3", "h4", "p", "a", "div", "span", "strong", "ul", "li", "i", "code", "table", "caption", "thead", "tbody",
        "tr",
        "th", "td", "svg", "path", "rect", "text", "polyline", "details", "summary", "article", "dl", "dt", "dd",
        "mark",
        "pre", "!doctype", "!--",
    ]

    private func expectOnlyText(_ page: String) throws {
        let tag = try NSRegularExpression(pattern: #"^<(!--|/?[a-z!][a-z0-9]*)((?: [a-zA-Z-]+(?:="[^"<>]*")?)*) ?/?>"#)
        let parts = page.replacing("<!-- sluice report -->", with: "").split(separator: "<").dropFirst()
        for part in parts {
            let text = "<" + part
            let range = NSRange(text.startIndex..., in: text)
            guard let found = tag.firstMatch(in: text, range: range), let name = Range(found.range(at: 1), in: text),
                let attributes = Range(found.range(at: 2), in: text)
            else {
                Issue.record("no tag of the page: \(text.prefix(120))")
                continue
            }
            let plain = text[name].trimmingPrefix("/")
            #expect(Self.tags.contains(String(plain)) || Self.tags.contains("!" + plain), "\(text.prefix(80))")
            #expect(!text[attributes].contains(/\son[a-z]+=/) && !text[attributes].contains("javascript:"))
        }
        #expect(page.contains("default-src 'none'; style-src 'unsafe-inline'"))
    }

    @Test func recordsCantBeAnythingButText() throws {
        let space = try Workspace()
        let attacks = [
            #"</script><img src=x onerror=alert(1)>"#, #"\"><svg onload=alert(2)>"#, #"<script>alert(3)</script>"#,
            #"--></style></title><iframe src='javascript:alert(4)'>"#, #"' onmouseover='alert(5)"#,
            #"&lt;b&gt; \u202e x"#,
            #"</details></main><form action=x>"#, #"\u0000\u0007\u001b[31m"#,
        ]
        let name = #"in "><img src=x onerror=alert(6)>.jsonl"#
        try space.write(
            name,
            lines: (0..<64).map {
                #"{"text": "\#(attacks[$0 % 8]) \#($0 / 2)", "kind": "\#(attacks[$0 % 4])", "<b onclick=alert(7)>": 1}"#
            } + ["<img src=x onerror=alert(8)>"])
        try space.define(
            files: "in*.jsonl", input: ["dedupe: {on: [text]}"],
            stages: [
                #"format: {template: "{text}"}"#, "embed: {model: lexical, dimensions: 16}",
                "coreset: {keep: 9, per: kind}",
                "redundancy: {distance: 0.5}",
            ])
        let folder = "out <img src=x onerror=alert(9)>"
        _ = try space.run(into: folder)
        let outcome = try space.sluice("report", folder, folder, "--label", "kind")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let page = String(decoding: try readFile(space("report.html")), as: UTF8.self)
        try expectOnlyText(page)
        #expect(page.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"), "the record's text is there")
        #expect(!page.unicodeScalars.contains { $0.value < 32 && $0 != "\n" && $0 != "\t" || $0.value == 0x202E })
        #expect(page.utf8.count < 2_000_000)
    }

    /// Many long fields in many reasons: less of each is shown.
    @Test func thePageStaysSmall() throws {
        let space = try Workspace()
        let long = String(repeating: "<&\u{4E2D}> ", count: 250)
        try space.write(
            "in.jsonl",
            lines: (0..<300).map { line in
                "{" + (0..<12).map { "\"f\($0)\": \"\(line) \(long)\"" }.joined(separator: ", ") + "}"
            })
        try space.define(stages: (0..<20).map { #"sample: {keep: \#(95 - 4 * $0)%}"# })
        _ = try space.run()
        #expect(try space.sluice("report", "out").status == 0)
        let page = try readFile(space("report.html"))
        #expect(page.count < 2_000_000 && page.count > 100_000, "\(page.count)")
        try expectOnlyText(String(decoding: page, as: UTF8.self))
    }

    /// A damaged ledger or list of picks ends with a message, not with a wrong page.
    @Test func damagedFilesAreRefused() throws {
        let space = try Workspace()
        try corpus(space)
        for (name, line) in [
            ("ledger.jsonl.zst", #"{"file":"in-0.jsonl","line":x"#),
            ("ledger.jsonl.zst", #"{"file":"in-0.jsonl","line":3,"stage":"#),
            ("picks.jsonl.zst", #"{"file":"in-0.jsonl","line":1,"rank":"#),
        ] {
            let whole = try readFile(space("out/\(name)"))
            try space.write("out/\(name)", lines: [line])
            let outcome = try space.sluice("report", "out")
            #expect(outcome.status == 3 && outcome.errorText.contains(name), "\(outcome.status) \(outcome.errorText)")
            try space.write("out/\(name)", whole)
        }
        #expect(try space.sluice("report", "out").status == 0)
    }

    // MARK: What is missing, and mistakes

    @Test func anUnknownLabelIsAnError() throws {
        let space = try Workspace()
        try corpus(space)
        let outcome = try space.sluice("report", "out", "--label", "kid")
        #expect(outcome.status == 2)
        #expect(outcome.errorText.contains("no record has a value of `kid`, the label; did you mean `kind`?"))
        #expect(!space.names().contains("report.html"))
    }

    @Test func whatIsMissingIsSaid() throws {
        let space = try Workspace()
        try corpus(space)
        try space.define(files: "in-*.jsonl", input: ["dedupe: {on: [text]}"])
        _ = try space.run(into: "plain")
        #expect(try space.sluice("report", "plain", "--output", "plain.html").status == 0)
        let plain = String(decoding: try readFile(space("plain.html")), as: UTF8.self)
        #expect(plain.contains("The run has no vectors: none of its stages writes them."))
        #expect(plain.contains("No stage of the run selects by distance"))

        // Without inputs, what the run itself wrote is still there.
        try space.write("in-1.jsonl", "{\"text\": \"another\", \"kind\": \"k\"}\n")
        #expect(try space.sluice("report", "out", "--output", "changed.html").status == 0)
        let changed = String(decoding: try readFile(space("changed.html")), as: UTF8.self)
        #expect(changed.contains("The input has changed since the run") && changed.contains("not-selected"))
        unlink(space("in-0.jsonl"))
        unlink(space("in-1.jsonl"))
        #expect(try space.sluice("report", "out", "plain", "--output", "gone.html").status == 0)
        let gone = String(decoding: try readFile(space("gone.html")), as: UTF8.self)
        #expect(gone.contains("The input can&#39;t be read again") && gone.contains("<h3>plain</h3>"))
        #expect(gone.contains("their distances can't be compared"))
    }

    @Test func onlyAPageIsReplaced() throws {
        let space = try Workspace()
        try corpus(space)
        try space.write("notes.html", "<!doctype html>\n<p>mine")
        let refused = try space.sluice("report", "out", "--output", "notes.html")
        #expect(refused.status == 2 && refused.errorText.contains("is not a page of `sluice report`"))
        for data in ["notes.html", "out/run.json", "report.html"] {
            let refused = try space.sluice("report", "out", "--data", data)
            #expect(refused.status == 2 || data == "report.html", "\(refused.errorText)")
        }
        #expect(try space.sluice("report", "out", "--output", "both", "--data", "both").status == 2)
        for _ in 0..<2 { #expect(try space.sluice("report", "out", "--data", "data.json").status == 0) }
        for _ in 0..<2 {
            #expect(try space.sluice("report", "out").outputText == "report.html: open it in a browser\n")
        }
        let printed = try space.sluice("report", "out", "--output", "-")
        #expect(printed.output == (try readFile(space("report.html"))))
        #expect(try space.sluice("report", "out", "--output", "-", "--data", "-").status == 2)
        #expect(try space.sluice("report").status == 2)
    }

    /// The end of a run names the labels it lost, the file of kept records and the next command.
    @Test func theEndOfARunSaysWhatIsNext() throws {
        let space = try Workspace()
        let kinds = (0..<60).map { $0 < 40 ? "large" : $0 < 52 ? "mid\($0 % 2)" : "low\($0)" }
        try space.write(
            "in.jsonl",
            lines: kinds.enumerated().map { #"{"text": "item \#($0 * $0 % 59) no \#($0)", "kind": "\#($1)"}"# })
        try space.define(
            stages: [
                #"format: {template: "{text}"}"#, "embed: {model: lexical, dimensions: 16}",
                "coreset: {keep: 1, per: kind}",
            ])
        let outcome = try space.sluice("run", "run.yaml", "--progress", "none", "--output", "it's out")
        #expect(outcome.status == 0)
        #expect(
            outcome.errorText.contains("    lost labels: mid0 6, mid1 6, low52 1, low53 1, low54 1 and 5 more\n"),
            "\(outcome.errorText)")
        #expect(
            outcome.errorText.hasSuffix(
                "kept records: it's out/kept.jsonl.zst\nnext: sluice report 'it'\\''s out'\n"), "\(outcome.errorText)")
    }
}
