import SluiceCore

extension ReportPage {
    // MARK: Pairs

    /// - Parameter most: the most characters of a field.
    static func pairs(_ run: RunReport, most: Int) -> String {
        if let missing = missing(.pairs, run) { return missing }
        return run.pairs.map { pair in
            let distance = pair.distance.map { ", distance \(Format.decimal($0, digits: 3))" } ?? ""
            let (lost, kept) = marked(pair.lost, pair.kept, most)
            return """
                <div class="pair"><h4>\(HTML.text(pair.stage)): \(HTML.text(pair.reason))\(distance)</h4>
                \(record(pair.lost, lost, "dropped", of: "lost"))\(record(pair.kept, kept, "in favour of", of: "kept"))</div>

                """
        }.joined()
    }

    /// The fields of two records as HTML, with the words marked that only one of them has.
    private static func marked(
        _ a: RunReport.ShownRecord, _ b: RunReport.ShownRecord, _ most: Int
    ) -> ([String], [String]) {
        func other(_ name: String, _ record: RunReport.ShownRecord) -> String {
            RecordText.cut(record.fields.first { $0.name == name }?.text ?? "", to: most)
        }
        return (
            a.fields.map { WordDifference.marked(RecordText.cut($0.text, to: most), beside: other($0.name, b)) },
            b.fields.map { WordDifference.marked(RecordText.cut($0.text, to: most), beside: other($0.name, a)) }
        )
    }

    /// - Parameter texts: the texts of the fields as HTML.
    private static func record(
        _ record: RunReport.ShownRecord, _ texts: [String], _ title: String?, of kind: String
    ) -> String {
        let fields = zip(record.fields, texts).map { field, text in
            "\(field.name.isEmpty ? "" : "<dt>\(HTML.text(field.name))</dt>")<dd>\(text)</dd>"
        }.joined()
        let place = (title.map { "\($0) " } ?? "") + record.place
        return
            "<article class=\"record \(kind)\"><p class=\"place\">\(HTML.text(place))</p><dl>\(fields)</dl></article>\n"
    }

    // MARK: Records

    /// - Parameter most: the most characters of a field.
    static func records(_ run: RunReport, most: Int) -> String {
        let samples = run.samples.enumerated().map { index, sample -> String in
            let title =
                sample.stage.map { "\(HTML.text($0)): \(HTML.text(sample.reason ?? ""))" } ?? "Kept"
            let shown = sample.records.map {
                record(
                    $0, $0.fields.map { HTML.text(RecordText.cut($0.text, to: most)) }, nil,
                    of: sample.stage == nil ? "kept" : "lost")
            }.joined()
            return
                "<details\(index < 2 ? " open" : "")><summary>\(title), \(sample.records.count) of \(Format.count(sample.count))</summary>\n\(shown)</details>\n"
        }.joined()
        let lines = run.malformedLines.map { line in
            """
            <article class="record lost"><p class="place">\(HTML.text(line.place)): \(HTML.text(line.error))</p><dl><dd>\(HTML.text(RecordText.cut(line.text, to: most)))</dd></dl></article>

            """
        }.joined()
        let malformed =
            lines.isEmpty
            ? ""
            : "<details><summary>Malformed lines, \(run.malformedLines.count) of \(Format.count(run.counts.quarantined))</summary>\n\(lines)</details>\n"
        return (missing(.samples, run) ?? "") + samples + malformed
    }
}

/// The words by which a text differs from another one: those that are not in their longest common subsequence.
enum WordDifference {
    /// Beyond this many words of either text, only the common beginning and end count as common.
    private static let mostWords = 400

    /// The text as HTML, with these words marked.
    static func marked(_ text: String, beside other: String) -> String {
        let (own, theirs) = (words(text), words(other))
        let isCommon = common(own.map(\.word), theirs.map(\.word))
        var result = ""
        var isOpen = false
        for (index, part) in own.enumerated() {
            if isCommon[index] == isOpen {
                result += isOpen ? "</mark>" : "<mark>"
                isOpen.toggle()
            }
            result += HTML.text(String(part.word + part.space))
        }
        return result + (isOpen ? "</mark>" : "")
    }

    /// Words, each with the white space after it.
    private static func words(_ text: String) -> [(word: Substring, space: Substring)] {
        var parts: [(Substring, Substring)] = []
        var rest = text[...]
        while !rest.isEmpty {
            let word = rest.prefix { !$0.isWhitespace }
            let after = rest[word.endIndex...]
            let space = after.prefix { $0.isWhitespace }
            parts.append((word, space))
            rest = after[space.endIndex...]
        }
        return parts
    }

    /// For each word of `a`, whether it is in the longest common subsequence.
    static func common(_ a: [Substring], _ b: [Substring]) -> [Bool] {
        var result = [Bool](repeating: false, count: a.count)
        var (start, endA, endB) = (0, a.count, b.count)
        while start < min(endA, endB), a[start] == b[start] {
            result[start] = true
            start += 1
        }
        while endA > start, endB > start, a[endA - 1] == b[endB - 1] {
            (endA, endB) = (endA - 1, endB - 1)
            result[endA] = true
        }
        let (n, m) = (endA - start, endB - start)
        guard n > 0, m > 0, n <= mostWords, m <= mostWords else { return result }
        // lengths[i][j]: of what follows a[start + i] and b[start + j].
        var lengths = [[Int32]](repeating: [Int32](repeating: 0, count: m + 1), count: n + 1)
        for i in stride(from: n - 1, through: 0, by: -1) {
            for j in stride(from: m - 1, through: 0, by: -1) {
                lengths[i][j] =
                    a[start + i] == b[start + j]
                    ? lengths[i + 1][j + 1] + 1 : max(lengths[i + 1][j], lengths[i][j + 1])
            }
        }
        var (i, j) = (0, 0)
        while i < n, j < m {
            if a[start + i] == b[start + j] {
                result[start + i] = true
                (i, j) = (i + 1, j + 1)
            } else if lengths[i + 1][j] >= lengths[i][j + 1] {
                i += 1
            } else {
                j += 1
            }
        }
        return result
    }
}
