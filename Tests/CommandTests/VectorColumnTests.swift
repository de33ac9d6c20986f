import SluiceCore
import Testing

/// Several columns of vectors in one definition, and what `check` says about those that see only spelling.
@Suite struct VectorColumnTests {
    private func workspace(_ stages: [String], output: [String] = []) throws -> Workspace {
        let space = try Workspace()
        try space.write(
            "in.jsonl",
            lines: (0..<300).map {
                #"{"text":"stone \#($0 * 7 % 61) river \#($0 % 17)","kind":\#($0 % 3),"v":[\#($0 % 9),2,\#($0 % 5),1,0,3,\#($0 % 4),1,2,2,0,1,1,\#($0 % 2),5,1]}"#
            })
        try space.define(stages: [#"format: {template: "{text}"}"#] + stages, output: output)
        return space
    }

    /// Each stage takes the vectors that it names: the result is that of a definition with one column at a time.
    @Test func stagesTakeTheVectorsTheyName() throws {
        let own = "embed: {model: file, field: v, dimensions: 16"
        let both = try workspace([
            "embed: {model: lexical, dimensions: 32, as: words}", own + ", as: mine}",
            "coreset: {keep: 60, vectors: mine}", "redundancy: {method: lift, keep: 40, vectors: words}",
            "cluster: {clusters: 3, vectors: mine}", "coreset: {keep: 50%, per: cluster, vectors: words}",
        ])
        let first = try both.run(["--threads", "1"])
        #expect(first.keptLines.count == 20)
        let second = try both.run(["--threads", "2", "--memory", "200MiB"], into: "again")
        #expect(second.digests == first.digests)

        let alone = try workspace([own + "}", "coreset: {keep: 60}"])
        let mine = try alone.run()
        try both.define(
            stages: [
                #"format: {template: "{text}"}"#, "embed: {model: lexical, dimensions: 32, as: words}",
                own + ", as: mine}", "coreset: {keep: 60, vectors: mine}",
            ])
        #expect(try both.run(into: "two").keptLines == mine.keptLines)
        let vectors = try both.sluice("vectors", "two", "--output", "v.npy", "--column", "mine")
        #expect(vectors.status == 0 && text(vectors.output).contains("60 vectors of 16 components"))
        let other = try both.sluice("vectors", "two", "--output", "w.npy")
        #expect(text(other.output).contains("60 vectors of 32 components"))
        let none = try both.sluice("vectors", "two", "--output", "x.npy", "--column", "text")
        #expect(none.status == 2 && none.errorText.contains("no stage of its definition writes vectors named `text`"))
        let compared = try both.sluice("compare", "two", "--clusters", "2")
        #expect(compared.status == 0, "\(compared.errorText)")
    }

    @Test func whatIsRefusedAndWarnedOf() throws {
        func said(_ stages: String...) throws -> String {
            try workspace(stages).sluice("check", "run.yaml").errorText
        }
        let words = "embed: {model: lexical, dimensions: 32, as: words}"
        #expect(
            try said(words, "coreset: {keep: 5}").contains(
                "stage 3 `coreset` reads `embedding`, which no earlier stage writes")
        )
        #expect(try said(words, "coreset: {keep: 5, vectors: text}").contains("`text`"))
        #expect(try said("embed: {as: 5 words}").contains("`as`"))
        #expect(try said("embed: {as: _words}").contains("`as`"))
        let spelling = "`words` sees how texts are spelled, not what they mean"
        #expect(try said(words, "cluster: {vectors: words}").contains(spelling))
        #expect(try said(words, "coreset: {keep: 5, vectors: words}").contains(spelling))
        #expect(try said(words, "coreset: {keep: 5, vectors: words, method: random}") == "")
        #expect(try said("embed", "cluster", "coreset: {keep: 5, per: cluster}") == "")
        let space = try workspace([words, "coreset: {keep: 5, vectors: words}"])
        let run = try space.run()
        #expect(run.manifest["warnings"]?.elements.first?.textValue?.contains(spelling) == true)
        #expect(text(try space.sluice("plan", "run.yaml").output).contains("sees how texts are spelled"))
    }
}
