package import SluiceCore

/// The parts of a definition that are no stages, each described like one: for help, for the schema, and for the reader,
/// which knows their keys from here.
package enum DefinitionGuide {
    package static let parts = [definition, input, dedupe, output, outputs]

    /// - Parameter name: `input`, for instance, or `input.dedupe`.
    package static func part(_ name: String) -> Descriptor? {
        parts.first { $0.name == name || name == "input.dedupe" && $0.name == "dedupe" }
    }

    static func keys(_ part: Descriptor) -> [String] { part.options.map(\.name) }

    package static let definition = Descriptor(
        name: "definition", summary: "The keys at the top of a definition.",
        options: [
            OptionSpec("sluice", .integer(1...1), isRequired: true, help: "the version of the definition"),
            OptionSpec(
                "seed", .integer(0...Int.max), default: 0,
                help: "all random draws depend on it and on the content of records"),
            OptionSpec(
                "memory", .size, default: .integer(Definition.defaultMemory),
                help: "for the whole process; `sluice plan` shows how it is divided", example: "2GiB"),
            OptionSpec("input", .tree, isRequired: true, help: "what to read: `sluice stages input`"),
            OptionSpec(
                "stages", .list(.tree),
                help:
                    "what to do with the records, in this order: `sluice stages`. Every stage also takes `enabled: false`, which leaves it out, a `seed` of its own, and `when: CONDITION`: only these records go through it, the others pass by; `use: FILE` beside `with: {NAME: VALUE}` stands for the stages of another file"
            ),
            OptionSpec(
                "parameters", .map(.tree),
                help: "values that `${NAME}` stands for anywhere below; `--set parameters.NAME=VALUE` replaces one",
                example: "{keep: 5%}"),
            OptionSpec("output", .tree, isRequired: true, help: "where the result goes: `sluice stages output`"),
            OptionSpec("outputs", .map(.tree), help: "further files of the kept records: `sluice stages outputs`"),
            OptionSpec(
                "tests", .list(.tree),
                help:
                    "records, and what should become of each: `sluice check --tests` tries it",
                example: "[{name: short ones go, records: [{given: {text: Hi}, expect: dropped}]}]"),
            OptionSpec(
                "answers", .path,
                help:
                    "the folder of what models and servers answered; several runs may share it. One in the output directory without",
                example: "answers"),
        ])

    package static let input = Descriptor(
        name: "input", summary: "The files to read, and what counts as a record.",
        options: [
            OptionSpec(
                "files", .either([.list(.path), .path]), isRequired: true,
                help: "paths, s3:// addresses and globs, sorted by the bytes of their names; `-` is standard input",
                example: "[data/*.jsonl.zst]"),
            OptionSpec("dedupe", .tree, help: "drops exact duplicates: `sluice stages dedupe`", example: "{on: line}"),
            OptionSpec(
                "malformed", .choice(MalformedPolicy.allCases.map(\.rawValue)), default: "quarantine",
                help: "malformed lines go to the quarantine, or end the run"),
            OptionSpec(
                "max_malformed", .quantity, help: "the most malformed lines that a run accepts", example: "1%"),
            OptionSpec(
                "max_record", .size, default: .integer(InputSpec.defaultMaxRecord), help: "a longer line is malformed"),
            OptionSpec(
                "limit", .integer(1...Int.max),
                help: "reads only so many records, from the first on: to try a definition", example: "1000"),
        ])

    package static let dedupe = Descriptor(
        name: "dedupe", summary: "Exact duplicates: the first of equal records is kept.",
        options: [
            OptionSpec(
                "on", .either([.choice(["line"]), .list(.text)]), isRequired: true,
                help: "the whole line, or these fields", example: "[prompt, completion]"),
            OptionSpec(
                "verify", .choice(DedupeSpec.Verification.allCases.map(\.rawValue)), default: "hash",
                help: "compares 128-bit hashes, or the bytes themselves"),
        ])

    package static let output = Descriptor(
        name: "output", summary: "The run directory, and the form of the kept records.",
        options: [
            OptionSpec("directory", .path, isRequired: true, help: "the run directory", example: "out"),
            OptionSpec(
                "record", .either([.choice(RecordForm.allCases.map(\.rawValue)), .map(.tree)]), default: "original",
                help:
                    "a kept record's own bytes, its formatted text or messages, or a map whose texts name columns and fields in braces",
                example: #"{instruction: "{prompt}", output: "{completion}"}"#),
            OptionSpec(
                "annotate", .list(.text), default: .list([]),
                help: "columns to add to each kept record under the key `_sluice`", example: "[cluster, rank]"),
            OptionSpec(
                "compression", .choice(OutputCompression.allCases.map(\.rawValue)), default: "zstd",
                help: "of the kept records"),
            OptionSpec(
                "level", .integer(DefinitionRules.levels), default: 3, help: "the zstd level of the kept records"),
            OptionSpec("fail_if_empty", .flag, default: false, help: "ends the run if it keeps nothing"),
            OptionSpec(
                "vectors", .text, help: "writes this column of the kept records as vectors.npy", example: "embedding"),
            OptionSpec("ids", .text, help: "writes this field beside them, as vectors.ids.jsonl", example: "id"),
            OptionSpec(
                "vectors_of", .choice(["kept", "all"]), default: "kept",
                help:
                    "whose vectors: of the kept records, or of all that reached the first stage that learns or chooses"),
        ])

    package static let outputs = Descriptor(
        name: "outputs", summary: "Further files of the kept records, each under its name, below `outputs/`.",
        discussion: """
            A map of names; these are the keys of each.

              train: {where: split == train, order: shuffled}
              by-lang: {per: lang}
              sizes: {ladder: x4}

            Names in `where`, `per` and `order` are those of columns if a stage writes them, otherwise of fields.
            """,
        options: [
            OptionSpec(
                "where", .text,
                help:
                    "which records: tests with <, <=, >, >=, ==, !=, in, not in and exists, joined by and, or, not and parentheses",
                example: #""rank < 64 and lang in [en, de]""#),
            OptionSpec("per", .text, help: "one file for each value of this column or field", example: "lang"),
            OptionSpec(
                "order", .either([.choice(["input", "shuffled"]), .map(.tree)]), default: "input",
                help: "that of the input, at random by content and seed, or by a column or field",
                example: "{by: score, descending: true}"),
            OptionSpec(
                "ladder", .either([.list(.quantity), .map(.integer(1...Int.max)), .text]),
                help: "files of growing size, each the beginning of the next, by rank unless `order` says otherwise",
                example: "x4"),
            OptionSpec(
                "shard_size", .size, help: "a file ends with the line that reaches so many unpacked bytes",
                example: "256MiB"),
            OptionSpec("shard_records", .integer(1...Int.max), help: "or so many records", example: "100000"),
            OptionSpec(
                "compression", .choice(OutputCompression.allCases.map(\.rawValue)),
                help: "of its files; that of the kept records without"),
        ])
}
