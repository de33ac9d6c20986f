import SluiceCore

/// Inputs that are hard on the passes after the first: surveys, selections and transforms over the kept columns.
extension BudgetShape {
    private static let formatted = #"format: {template: "{prompt} {completion}"}"#
    private static let vectors = "embed: {model: lexical, dimensions: 64}"

    private static func pairs(_ space: Workspace, _ count: Int, bytes: Int) throws {
        try write(space, count) { number in
            Array("{\"completion\":\"\(number)\",\"prompt\":\"".utf8) + noise(bytes, seed: number) + Array("\"}".utf8)
        }
    }

    // MARK: Long rows

    static let rows: [BudgetShape] = [
        BudgetShape(
            name: "records of 135 kB, formatted again after a selection", input: ["max_record: 256KiB"],
            stages: [formatted, vectors, "coreset: {keep: 90%}", formatted]
        ) { try pairs($0, 160, bytes: 135_000) },
        BudgetShape(
            name: "records of 1 MB, formatted again after a survey", input: ["max_record: 2MiB"],
            stages: [formatted, vectors, "cluster: {clusters: 3, reservoir: 64}", formatted, vectors]
        ) { try pairs($0, 12, bytes: megabyte) },
        BudgetShape(
            name: "records of 6 MB, four times in a text that is made after a selection", threads: [1, 2, 8],
            stages: [
                formatted, vectors, "coreset: {keep: 3}",
                #"format: {template: "{prompt} {prompt} {prompt} {prompt}"}"#,
            ], output: ["record: formatted"]
        ) { try pairs($0, 4, bytes: 6 * megabyte) },
        BudgetShape(
            name: "records of 6 MB, grouped by a field of that length",
            stages: [formatted, vectors, "redundancy: {per: prompt}", "coreset: {keep: 100%, per: prompt}"]
        ) { try pairs($0, 6, bytes: 6 * megabyte) },
        // Six bytes each in the record and in messages, but one in the columns by which the rows are divided.
        BudgetShape(
            name: "records of 100 kB of control characters, messages made after a selection", threads: [1, 8],
            input: ["max_record: 256KiB"],
            stages: [formatted, vectors, "coreset: {keep: 90%}", "format: {template: auto}"],
            output: ["record: messages"]
        ) { space in
            try write(space, 300) { number in
                Array("{\"completion\":\"\(number)\",\"prompt\":\"".utf8)
                    + repeated("\\u0001\\u0002", bytes: 100_000) + Array("\"}".utf8)
            }
        },
        BudgetShape(
            name: "records of 16 MB, four times in a text that is made after a selection",
            stages: [
                formatted, vectors, "coreset: {keep: 3}",
                #"format: {template: "{prompt} {prompt} {prompt} {prompt}"}"#, vectors,
                "cluster: {clusters: 2, reservoir: 64}", "coreset: {keep: 50%, per: cluster}",
            ], isLarge: true
        ) { try pairs($0, 4, bytes: 16 * megabyte) },
    ]

    // MARK: Outputs

    static let outputs: [BudgetShape] = [
        BudgetShape(
            name: "forty outputs, ten of them ladders with twelve files", threads: [2], budgets: [130],
            input: ["max_record: 64KiB"],
            sinks: (0..<30).map { "o\($0): {where: n >= \($0)}" }
                + (0..<10).map { "l\($0): {ladder: x2, order: {by: n, descending: \($0 % 2 == 0)}}" }
        ) { space in
            try write(space, 30_000) { number in
                Array("{\"n\":\(number % 40),\"t\":\"".utf8) + noise(60, seed: number) + Array("\"}".utf8)
            }
        }
    ]

    // MARK: Groups

    private static func tiny(_ space: Workspace, _ count: Int) throws {
        try write(space, count) { Array("{\"text\":\"\(String($0 &* 2_654_435_761, radix: 36))\"}".utf8) }
    }

    static let groups: [BudgetShape] = [
        BudgetShape(
            name: "tiny records in one group", threads: [1, 64],
            stages: ["format: {template: auto}", vectors, "coreset: {keep: 20}"]
        ) { try tiny($0, 60_000) },
        BudgetShape(
            name: "4,096 dimensions", threads: [1, 8],
            stages: [
                "format: {template: auto}", "embed: {model: lexical, dimensions: 4096}",
                "cluster: {clusters: 4, reservoir: 512}",
                "coreset: {keep: 8, per: cluster}",
            ]
        ) { try tiny($0, 3000) },
        BudgetShape(
            name: "many clusters", threads: [1, 2],
            stages: [
                "format: {template: auto}", vectors, "cluster: {clusters: 2000, reservoir: 4000}",
                "redundancy: {method: pairwise, distance: 0.05}",
            ], isLarge: true, hasLargeGroups: true
        ) { try tiny($0, 300_000) },
        BudgetShape(
            name: "a label for each of 700,000 records", threads: [1, 2],
            stages: ["format: {template: auto}", vectors, "coreset: {keep: 100%, per: text}"], isLarge: true,
            hasLargeGroups: true
        ) { try tiny($0, 700_000) },
        BudgetShape(
            name: "a million tiny records in one group", threads: [2, 64],
            stages: ["format: {template: auto}", vectors, "coreset: {keep: 20}"], isLarge: true, hasLargeGroups: true
        ) { try tiny($0, 1_000_000) },
        BudgetShape(
            name: "4,096 dimensions in one group", threads: [2, 64],
            stages: [
                "format: {template: auto}", "embed: {model: lexical, dimensions: 4096}",
                "redundancy: {method: lift, keep: 10%}",
            ],
            isLarge: true, hasLargeGroups: true
        ) { try tiny($0, 40_000) },
    ]
}
