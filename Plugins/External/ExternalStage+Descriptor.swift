public import SluiceCore

extension ExternalStage {
    public static let descriptor = Descriptor(
        name: "external",
        summary: "Gives each record to a program in any language, which writes columns or drops it.",
        discussion: """
            The program is started, gets a line of JSON that says what to do, and answers {"sluice": 1, "ready": true}. Then it \
            gets a line for each record and answers with a line for each, in the same order; other text goes to its standard \
            error. docs/external.md describes all of it, examples/python-stage is a complete example.

              it gets   {"id": 0, "more": 63, "record": {"prompt": "…"}, "columns": {"text": "…"}}
              it gives  {"id": 0, "columns": {"score": 0.5}}  or  {"id": 0, "drop": "too-short", "note": {"words": 3}}

            What it answers must follow from the record alone: any record may come to any of the programs, and again after a \
            crash. A program that ends early is started again with the same records; one that breaks the protocol or hangs ends \
            the run (exit status 3) with the record's place. Files that it reads belong into `files`: their content, that of a \
            script in `command`, `version` and the version in its answer are part of the run's identity.

            Programs get our environment, secrets in it included. Their memory does not count in the budget. They end with the \
            run, also when that is killed. What they write to standard error is in the folder `stderr` of the run directory, the \
            first MiB of each.
            """,
        options: [
            OptionSpec(
                "command", .list(.word), isRequired: true,
                help:
                    "the program and its arguments; no shell reads them. A word that is the name of a file, relative to the definition, stands for that file",
                example: "[python3, stage.py]"),
            OptionSpec(
                "reads", .list(.text),
                help:
                    "columns of earlier stages and fields of the record that it gets ([text]; none with `whole_record`)",
                example: "[prompt, meta.lang]"),
            OptionSpec(
                "whole_record", .flag, default: false, help: "it gets the record as it is, and not only fields of it"),
            OptionSpec(
                "writes",
                .map(.either([.choice(["integer", "real", "text"]), .map(.integer(1...8192))])), default: .map([:]),
                help:
                    "the columns that it writes, with their types: integer, real, text or {vector: 384}, which is normalised",
                example: "{score: real, label: text}"),
            OptionSpec(
                "workers", .integer(1...256), help: "programs at a time, at most (one for each thread)", example: "2"),
            OptionSpec("timeout", .integer(1...86_400), default: 60, help: "seconds from answer to answer"),
            OptionSpec(
                "start_timeout", .integer(1...86_400), default: 60, help: "seconds from its start until it is ready"),
            OptionSpec(
                "restarts", .integer(0...1000), default: 2,
                help: "how often records whose program has ended early go to another one"),
            OptionSpec(
                "growth", .integer(1...64), default: 1,
                help: "how many times the bytes that it gets of a record a text may have, beside 64KiB"),
            OptionSpec(
                "memory", .size,
                help: "the address space that each program may have (any); not part of the run's `memory`",
                example: "2GiB"),
            OptionSpec(
                "version", .text, help: "changes the identity of the run; for what no file shows", example: "\"2\""),
            OptionSpec(
                "files", .list(.path), help: "files that it reads, for the identity of the run; it is told their paths",
                example: "[words.txt]", isLarge: true),
            OptionSpec(
                "options", .tree, help: "passed on to the program as they are", example: "{least: 3}"),
        ])

    public func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] { planNotes }
}

/// `external` in a definition written in Swift.
public struct External: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - command: the program and its arguments. The path of a file has a `/`.
    ///   - writes: the columns that it writes: `integer`, `real` or `text`, or `["vector": 384]`.
    ///   - options: others, as in a definition: `["restarts": 0]`.
    public init(
        _ command: [String], reads: [String]? = nil, writes: [String: OptionValue] = [:], options: OptionValues = [:]
    ) {
        var all = options
        all["command"] = .list(command.map { .text($0) })
        all["reads"] = reads.map { .list($0.map { .text($0) }) }
        all["writes"] = .map(writes)
        stageSpec = StageSpec("external", all)
    }
}
