import SluiceCore

/// The options of `external`, read and checked.
struct ExternalOptions: Sendable {
    let command: ProgramCommand
    let columns: [ExternalColumn]
    let workers: Int?
    let timeout: Int
    let startTimeout: Int
    let restarts: Int
    let growth: Int
    /// Bytes of address space for each program; 0 for any number.
    let memory: Int
    private let names: [String]
    private let sendsRecord: Bool
    private let passed: JSONValue
    private let files: [String]

    init(_ options: OptionValues) throws(StageError) {
        command = ProgramCommand(words: try options.texts("command"))
        guard let first = command.words.first, !first.isEmpty else {
            throw .option(
                "command", "`command` is empty; name a program and its arguments, such as [python3, stage.py]")
        }
        sendsRecord = try options.flag("whole_record")
        names = options["reads"] == nil ? (sendsRecord ? [] : ["text"]) : try options.texts("reads")
        guard Set(names).count == names.count else { throw .option("reads", "`reads` names one thing twice") }
        guard sendsRecord || !names.isEmpty else {
            throw .option(
                "reads", "`reads` is empty; name the columns and fields that the program gets, such as [text]")
        }
        columns = try Self.columns(options)
        workers = options["workers"] == nil ? nil : try options.integer("workers")
        timeout = try options.integer("timeout")
        startTimeout = try options.integer("start_timeout")
        restarts = try options.integer("restarts")
        growth = try options.integer("growth")
        memory = options["memory"] == nil ? 0 : try options.integer("memory")
        guard memory == 0 || memory >= 1 << 20 else {
            throw .option(
                "memory", "`memory` is \(memory) bytes, which no program can start with; give a size such as 2GiB")
        }
        passed = options["options"]?.report ?? .object([])
        files = options["files"] == nil ? [] : try options.texts("files")
    }

    private static func columns(_ options: OptionValues) throws(StageError) -> [ExternalColumn] {
        var columns: [ExternalColumn] = []
        for (name, value) in try options.map("writes").sorted(by: { $0.key < $1.key }) {
            switch value {
            case .text("integer"): columns.append(ExternalColumn(ColumnName(name), .integer))
            case .text("real"): columns.append(ExternalColumn(ColumnName(name), .real))
            case .text("text"): columns.append(ExternalColumn(ColumnName(name), .bytes))
            case .map(let entries):
                guard entries.count == 1, case .integer(let dimension)? = entries["vector"] else {
                    throw .option(
                        "writes",
                        "`writes.\(name)` must be integer, real, text or {vector: 384}, not `\(value.report.json)`")
                }
                columns.append(ExternalColumn(ColumnName(name), .vector(dimension: dimension)))
            default: throw .option("writes", "`writes.\(name)` must be integer, real, text or {vector: 384}")
            }
        }
        return columns
    }

    // MARK: What a program gets

    /// As `distinct` and others name things: a column if an earlier stage writes it, else a field.
    func questions(after written: [ColumnSpec]) -> Questions {
        var fields: [Questions.Part] = []
        var columns: [Questions.Part] = []
        for name in names {
            if written.contains(where: { $0.name.name == name }) {
                columns.append(Questions.Part(.column(ColumnName(name)), name))
            } else {
                fields.append(Questions.Part(.field(FieldPath(name)), name))
            }
        }
        // The record has them.
        return Questions(fields: sendsRecord ? [] : fields, columns: columns, sendsRecord: sendsRecord)
    }

    /// What a program is told at its start, beside the stage's name.
    func terms(_ questions: Questions) -> [JSONValue.Entry] {
        let writes = columns.map { column -> JSONValue.Entry in
            let type: JSONValue =
                switch column.type {
                case .integer: "integer"
                case .real: "real"
                case .bytes: "text"
                case .vector(let dimension): ["vector": .integer(dimension)]
                }
            return JSONValue.Entry(column.name.name, type)
        }
        return [
            .init("reads", .list(names.map { .text($0) })), .init("writes", .object(writes)),
            .init("options", passed), .init("files", .list(files.map { .text($0) })),
        ]
    }

    // MARK: Memory

    private var writesText: Bool { columns.contains { $0.type == .bytes } }

    /// Bytes of the longest answer beside its texts: numbers of a vector have up to 25 characters.
    var longestLine: Int {
        let vectors = columns.reduce(0) { if case .vector(let dimension) = $1.type { $0 + 32 * dimension } else { $0 } }
        return (512 << 10) + vectors
    }

    /// A character may be written as an escape of six bytes, for two.
    var lineGrowth: Int { writesText ? 3 * growth : 0 }

    /// What of a record is in memory at a time, as often as its own bytes: the line of the answer, its text, and the column.
    var declaredGrowth: Int { writesText ? lineGrowth + 2 * growth : 0 }

    /// Records on their way, answers, and what they become.
    var memoryPerThread: Int { (1 << 20) + 2 * longestLine }
}
