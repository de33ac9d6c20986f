import SluiceCore
import SluicePipeline
import Testing

/// A definition with `line` in place of the stages.
private func stage(_ line: String) -> String {
    "sluice: 1\ninput: {files: a}\nstages:\n  - format\n  - embed\n  - \(line)\noutput: {directory: out}\n"
}

/// Mistakes in a definition: each is found, with its place and what to write instead.
@Suite struct DefinitionMistakeTests {
    @Test func everyMistakeIsFoundAtOnce() {
        let text = """
            sluice: 2
            sede: 42
            memory: 512M
            input:
              fils: [a]
              dedupe: {on: []}
              malformed: quarantin
            stages:
              - fromat: {template: x}
              - embed: {dimension: 384, model: lexicl}
              - cluster: {clusters: 0}
              - coreset: {keep: 0.05}
              - redundancy: {exact: yes}
            output:
              record: formated
              level: 20
            """
        #expect(
            problems(text, path: "pipeline.yaml") == [
                "pipeline.yaml:1:9: version `2` is not supported; this program reads `sluice: 1`",
                "pipeline.yaml:2:1: unknown key `sede`; did you mean `seed`?",
                "pipeline.yaml:3:9: `memory` must be a size such as 512MiB, not `512M`; write 512MiB",
                "pipeline.yaml:4:1: `input.files` is empty; write paths or globs, such as [data/*.jsonl.zst]",
                "pipeline.yaml:5:3: unknown key `fils` of `input`; did you mean `files`?",
                "pipeline.yaml:6:16: `input.dedupe.on` is empty; write field names or `on: line`",
                "pipeline.yaml:7:14: `input.malformed` must be one of quarantine, fail, not `quarantin`; did you mean `quarantine`?",
                "pipeline.yaml:9:5: unknown stage `fromat`; did you mean `format`? (known stages are `cluster`, `coreset`, `embed`, `format`, `redundancy`)",
                "pipeline.yaml:10:13: unknown option `dimension` of stage `embed`; did you mean `dimensions`?",
                "pipeline.yaml:10:36: option `model` of stage `embed` must be lexical, not `lexicl`; did you mean `lexical`?",
                "pipeline.yaml:11:25: option `clusters` of stage `cluster` must be auto, or a whole number from 1 to 65536, not `0`",
                "pipeline.yaml:12:21: option `keep` of stage `coreset` must be a count or percentage, not `0.05`; write 5% for that share",
                "pipeline.yaml:13:25: option `exact` of stage `redundancy` must be true or false, not `yes`; write true",
                "pipeline.yaml:14:1: `output` needs `directory`: say where the results go, such as `directory: out`",
                "pipeline.yaml:15:11: `output.record` must be one of original, formatted, messages, not `formated`; did you mean `formatted`?",
                "pipeline.yaml:16:10: `output.level` is 20 and must be from 1 to 19",
            ])
    }

    @Test(arguments: [
        ("", "1:1: the definition is empty; start it with `sluice: 1`"),
        ("# nothing\n", "1:1: the definition is empty; start it with `sluice: 1`"),
        (
            "- a\n",
            "1:1: a definition must be a map with the keys sluice, seed, memory, input, stages, parameters, output, outputs, tests, answers, not a list"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o}\nfiles: b\n",
            "4:1: unknown key `files`; it belongs under `input`"
        ),
        (
            "sluice: 1\ninput: {files: a, seed: 1}\noutput: {directory: o}\n",
            "2:19: unknown key `seed` of `input`; it belongs at the top"
        ),
        (
            "input: {files: a}\noutput: {directory: o}\n",
            "1:1: `sluice: 1` is missing; it is the version of the definition"
        ),
        (
            "sluice: 1\noutput: {directory: o}\n",
            "1:1: `input` is missing; say what to read, such as `input: {files: [data/*.jsonl.zst]}`"
        ),
        (
            "sluice: 1\ninput: {files: a}\n",
            "1:1: `output` is missing; say where the results go, such as `output: {directory: out}`"
        ),
        (
            "sluice: 1\ninput: a\noutput: {directory: o}\n",
            "2:8: `input` must be a map with the keys files, dedupe, malformed, max_malformed, max_record, limit, not `a`"
        ),
        (
            "sluice: 1\ninput: {files: []}\noutput: {directory: o}\n",
            "2:16: `input.files` is empty; write paths or globs, such as [data/*.jsonl.zst]"
        ),
        (
            "sluice: 1\ninput:\n  files:\noutput: {directory: o}\n",
            "3:3: `files` has no value; give it one or delete it"
        ),
        (
            "sluice: 1\ninput: {files: [a, [b]]}\noutput: {directory: o}\n",
            "2:20: each entry of `input.files` must be text, not a list"
        ),
        (
            "sluice: 1\ninput: {files: [a, \"\"]}\noutput: {directory: o}\n",
            "2:20: `input.files` contains an empty name"
        ),
        (
            "sluice: 1\ninput: {files: [\"-\", \"-\"]}\noutput: {directory: o}\n",
            "2:22: standard input `-` can be read only once"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: line}\noutput: {directory: o}\n",
            "2:27: `input.dedupe` must be a map, not `line`; write `dedupe: {on: line}`"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: {}}\noutput: {directory: o}\n",
            "2:19: `input.dedupe` needs `on`: field names, or `line`"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: {on: [x, y, x]}}\noutput: {directory: o}\n",
            "2:39: `input.dedupe.on` names `x` twice"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: {on: line, verify: byte}}\noutput: {directory: o}\n",
            "2:46: `input.dedupe.verify` must be one of hash, bytes, not `byte`; did you mean `bytes`?"
        ),
        (
            "sluice: 1\ninput: {files: a, dedupe: {on: line, verfy: bytes}}\noutput: {directory: o}\n",
            "2:38: unknown key `verfy` of `input.dedupe`; did you mean `verify`?"
        ),
        (
            "sluice: 1\ninput: {files: a, verify: bytes}\noutput: {directory: o}\n",
            "2:19: unknown key `verify` of `input`; it belongs under `input.dedupe`"
        ),
        (
            "sluice: 1\ninput: {files: a, max_record: 2GiB}\noutput: {directory: o}\n",
            "2:31: `input.max_record` is 2147483648 bytes and must be from 1 byte to 1GiB"
        ),
        (
            "sluice: 1\nmemory: 512\ninput: {files: a}\noutput: {directory: o}\n",
            "2:9: `memory` is 512 bytes, far less than any run takes; did you mean `512MiB`?"
        ),
        (
            "sluice: 1\nmemory: 512KiB\ninput: {files: a}\noutput: {directory: o}\n",
            "2:9: `memory` is 524288 bytes, far less than any run takes"
        ),
        (
            "sluice: 1\nseed: -1\ninput: {files: a}\noutput: {directory: o}\n",
            "2:7: `seed` must be a whole number from 0 to 18446744073709551615, not `-1`"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: \"\"}\n",
            "3:21: `output.directory` is empty; say where the results go"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: [o]}\n",
            "3:21: `output.directory` must be text, not a list"
        ),
        (
            "sluice: 1\ninput: {files: a}\nstages: embed\noutput: {directory: o}\n",
            "3:9: `stages` must be a list, not `embed`; begin each stage with `- ` and its name"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o}\nseed: 1\nseed: 2\n",
            "5:1: duplicate key `seed`; remove one"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, compression: non}\n",
            "3:37: `output.compression` must be one of zstd, none, not `non`; did you mean `none`?"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, compression: none, level: 3}\n",
            "3:50: `output.level` is a zstd level, which `compression: none` does not use; remove one of them"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, level: x}\n",
            "3:31: `output.level` must be a whole number from 1 to 19, not `x`"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, annotate: [clutser]}\n",
            "3:35: `output.annotate` names `clutser`, which no stage writes"
        ),
        (
            "sluice: 1\ninput: {files: a}\noutput: {directory: o, record: formatted}\n",
            "3:32: `record: formatted` writes the column `text`, which no stage makes; add a `format` stage"
        ),
        (
            "sluice: 1\ninput: {files: a}\nstages: [embed]\noutput: {directory: o}\n",
            "3:10: stage 1 `embed` reads `text`, which no earlier stage writes; put a `format` stage before it"
        ),
        (
            "sluice: 1\ninput: {files: a}\nstages: [embed, format]\noutput: {directory: o}\n",
            "3:10: stage 1 `embed` reads `text`, which no earlier stage writes; move stage 2 `format`, which writes it, before it"
        ),
        // YAML itself.
        (
            "sluice: 1\ninput: {files: [a}\n",
            "2:18: this is not YAML: did not find expected ',' or ']', while parsing a flow sequence from line 2, column 16; close the bracket, put a comma between the entries, or quotes around a text with brackets or commas"
        ),
        (
            "sluice: 1\n\tseed: 2\n",
            "2:1: this is not YAML: found a tab character that violates indentation, while scanning a plain scalar from line 1, column 9; indent with spaces, not tabs"
        ),
        (
            "sluice: 1\ninput: {files: a}\nx: y: z\n",
            "3:5: this is not YAML: mapping values are not allowed in this context; check the indentation, or put a text with a colon in quotes"
        ),
        (
            "sluice: 1\n--- \nsluice: 1\n",
            "2:1: this is not YAML: but found another document, expected a single document in the stream from line 1, column 1; one file holds one definition"
        ),
        ("sluice: 1\ninput: *nothing\n", "2:8: this is not YAML: found undefined alias"),
        ("sluice: 1\nseed: \u{7}\n", "2:7: this is not YAML: control characters are not allowed"),
    ])
    func aMistakeIsNamedWithItsPlace(text: String, problem: String) {
        #expect(problems(text) == ["p.yaml:\(problem)"])
    }

    @Test(arguments: [
        (
            "tokenize",
            "6:5: unknown stage `tokenize`; known stages are `cluster`, `coreset`, `embed`, `format`, `redundancy`"
        ),
        ("[cluster]", "6:5: stage 3 must be a name with its options, such as `- embed: {}`, not a list"),
        ("{}", "6:5: stage 3 must be a name with its options, such as `- embed: {}`, not a map"),
        ("", "6:4: stage 3 must be a name with its options, such as `- embed: {}`, not nothing"),
        (
            "coreset: {keep: 1}\n    cluster: {}",
            "7:5: `coreset` and `cluster` are in one map; begin each stage with its own `- `"
        ),
        (
            "coreset:\n    keep: 5%",
            "7:5: `keep` is at the level of the stage `coreset`; indent its options further than its name"
        ),
        ("coreset", "6:5: stage `coreset` needs the option `keep`: a count or percentage, such as `keep: 5%`"),
        ("coreset: 5%", "6:14: the options of stage `coreset` must be a map, not `5%`; it takes keep, per"),
        (
            "coreset: {keep: }",
            "6:15: option `keep` of stage `coreset` must be a count or percentage, not nothing; leave the option out, or give it a value"
        ),
        (
            "coreset: {keep: 0.05}",
            "6:21: option `keep` of stage `coreset` must be a count or percentage, not `0.05`; write 5% for that share"
        ),
        ("coreset: {keep: [5%]}", "6:21: option `keep` of stage `coreset` must be a count or percentage, not a list"),
        ("coreset: {keep: 5%, keep: 6%}", "6:25: duplicate key `keep`; remove one"),
        ("coreset: {keep: 5%, per: clutser}", "6:5: stage 3 `coreset` reads `clutser`, which no earlier stage writes"),
        (
            "coreset: {keep: 5%, per: cluster}",
            "6:5: stage 3 `coreset` reads `cluster`, which no earlier stage writes; put a `cluster` stage before it"
        ),
        (
            "cluster: {clusters: 300, reservoir: 200}",
            "6:25: stage 3 `cluster`: 300 clusters can't be learnt from fewer records; raise `reservoir`"
        ),
        (
            "cluster: {clusters: 20001}",
            "6:25: stage 3 `cluster`: 20001 clusters can't be learnt from fewer records; raise `reservoir`"
        ),
        (
            "format: {template: {prompt}}",
            "6:24: option `template` of stage `format` must be text, not a map; put a text with braces in quotes"
        ),
        (
            "embed: {dimensions: \"384\"}",
            "6:25: option `dimensions` of stage `embed` must be a whole number from 8 to 4096, not `384`; write it without quotes"
        ),
        (
            "embed: {dimensions: 1_024}",
            "6:25: option `dimensions` of stage `embed` must be a whole number from 8 to 4096, not `1_024`; write 1024"
        ),
        (
            "redundancy: {threshold: x}",
            "6:29: option `threshold` of stage `redundancy` must be a number from 0.0 to 2.0, not `x`"
        ),
        (
            "redundancy: {cache: 5M}",
            "6:25: option `cache` of stage `redundancy` must be a size such as 64MiB, not `5M`; write 5MiB"
        ),
        (
            "redundancy: {fields: a}",
            "6:26: option `fields` of stage `redundancy` must be a list of text, not `a`; write [a]"
        ),
        (
            "redundancy: {fields: [a, [b]]}",
            "6:30: option `fields` of stage `redundancy` must be a list of text, not a list"
        ),
        (
            "redundancy: {weights: {a: 1, b: x}}",
            "6:37: option `weights` of stage `redundancy` must be a map from names to count or percentage, not `x`"
        ),
        (
            "redundancy: {weights: {a: 1, b: 0.5}}",
            "6:37: option `weights` of stage `redundancy` must be a map from names to count or percentage, not `0.5`; write 50% for that share"
        ),
        (
            "redundancy: {weights: [1]}",
            "6:27: option `weights` of stage `redundancy` must be a map from names to count or percentage, not a list"
        ),
        ("redundancy: {weights: {a: 1, a: 2}}", "6:34: duplicate key `a`; remove one"),
        ("redundancy: {[a]: 1}", "6:18: a key must be a word; put a text with braces in quotes"),
    ])
    func aMistakeInAStageIsNamedWithItsPlace(line: String, problem: String) {
        #expect(problems(stage(line)) == ["p.yaml:\(problem)"])
    }

    @Test func severalDuplicateKeysAndOtherMistakesAreFoundTogether() {
        let text =
            "sluice: 1\nseed: 1\ninput:\n  files: a\n  files: b\n  'files': c\nseed: 2\noutput: {directory: o, levl: 3}\n"
        #expect(
            problems(text) == [
                "p.yaml:5:3: duplicate key `files`; remove one",
                "p.yaml:6:3: duplicate key `files`; remove one",
                "p.yaml:7:1: duplicate key `seed`; remove one",
                "p.yaml:8:24: unknown key `levl` of `output`; did you mean `level`?",
            ])
    }

    @Test func aWrongStageHidesNoLaterOneAndInventsNone() {
        let text = stage("clustr: {}\n  - coreset: {kep: 5%, per: cluster}\n  - redundancy: {keep: x}")
        #expect(
            problems(text).map { $0.split(separator: ":").prefix(3).joined(separator: ":") } == [
                "p.yaml:6:5", "p.yaml:7:5", "p.yaml:7:15", "p.yaml:8:24",
            ])
    }
}
