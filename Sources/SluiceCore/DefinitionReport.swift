extension Definition {
    /// The definition as JSON, in a fixed order and with all defaults written out.
    public var report: JSONValue {
        .object(
            [
                .init("sluice", .integer(version)), .init("seed", Self.report(of: seed)),
                .init("memory", .integer(memory)), .init("input", input.report),
                .init("stages", .list(stages.map(\.report))), .init("output", output.report),
            ] + sinksReport + (answers.map { [.init("answers", .text($0))] } ?? []))
    }

    /// The part of `report` that determines the bytes of the output: everything except `memory`, the output directory
    /// and the folder of answers.
    public var decidingReport: JSONValue {
        .object(
            [
                .init("sluice", .integer(version)), .init("seed", Self.report(of: seed)), .init("input", input.report),
                .init("stages", .list(stages.map(\.report))),
                .init("output", .object(output.report.entries.filter { $0.key != "directory" })),
            ] + sinksReport)
    }

    private var sinksReport: [JSONValue.Entry] {
        sinks.isEmpty ? [] : [.init("outputs", .object(sinks.map { .init($0.name, $0.report) }))]
    }

    /// A seed too large for a report's integers is written as text.
    fileprivate static func report(of seed: UInt64) -> JSONValue {
        Int(exactly: seed).map { .integer($0) } ?? .text(String(seed))
    }

    /// The differences between two reports of definitions, each as `stages[2].coreset.keep: 5% → 1%`. List positions
    /// count from 1, as stages do in messages.
    public static func differences(from old: JSONValue, to new: JSONValue) -> [String] {
        var found: [String] = []
        compare(old, new, "", &found)
        return found
    }

    private static func compare(_ old: JSONValue?, _ new: JSONValue?, _ path: String, _ found: inout [String]) {
        guard old != new else { return }
        switch (old, new) {
        case (.object(let before), .object(let after)) where !isOtherStage(before, after):
            let keys = before.map(\.key) + after.map(\.key).filter { key in !before.contains { $0.key == key } }
            for key in keys { compare(old?[key], new?[key], path.isEmpty ? key : "\(path).\(key)", &found) }
        case (.list(let before), .list(let after)):
            for index in 0..<max(before.count, after.count) {
                compare(
                    index < before.count ? before[index] : nil, index < after.count ? after[index] : nil,
                    "\(path)[\(index + 1)]", &found)
            }
        default: found.append("\(path.isEmpty ? "all" : path): \(spelling(old)) → \(spelling(new))")
        }
    }

    /// Stages with different names are compared by name, not option by option.
    private static func isOtherStage(_ before: [JSONValue.Entry], _ after: [JSONValue.Entry]) -> Bool {
        before.count == 1 && after.count == 1 && before[0].key != after[0].key
    }

    private static func spelling(_ report: JSONValue?) -> String {
        let text =
            switch report {
            case nil, .null?: "none"
            case .text(let text)?: text
            case .object(let entries)? where entries.count == 1: "`\(entries[0].key)`"
            case .some(let other): other.json
            }
        return text.count <= 60 ? text : "\(text.prefix(59))…"
    }
}

extension InputSpec {
    var report: JSONValue {
        .object(
            [
                .init("files", .list(files.map { .text(name(of: $0)) })), .init("dedupe", dedupe?.report ?? .null),
                .init("malformed", .text(malformed.rawValue)),
            ] + (maxMalformed.map { [.init("max_malformed", .text($0.description))] } ?? []) + [
                .init("max_record", .integer(maxRecord))
            ] + (limit.map { [.init("limit", .integer($0))] } ?? []))
    }
}

extension DedupeSpec {
    fileprivate var report: JSONValue {
        let on: JSONValue =
            switch self.on {
            case .line: "line"
            case .fields(let paths): .list(paths.map { .text($0.description) })
            }
        return ["on": on, "verify": .text(verify.rawValue)]
    }
}

extension StageSpec {
    package var report: JSONValue {
        .object([
            .init(
                name,
                .object(
                    options.names.map { .init($0, options[$0]?.report ?? .null) }
                        + (seed.map { [.init("seed", Definition.report(of: $0))] } ?? [])
                        + (when.map { [.init("when", .text($0.description))] } ?? [])))
        ])
    }
}

extension OutputSpec {
    var report: JSONValue {
        var entries: [JSONValue.Entry] = [
            .init("directory", .text(directory)), .init("record", template?.report ?? .text(record.rawValue)),
            .init("annotate", .list(annotate.map { .text($0.name) })),
            .init("compression", .text(compression.rawValue)),
        ]
        if compression == .zstd { entries.append(.init("level", .integer(level))) }
        if failIfEmpty { entries.append(.init("fail_if_empty", .flag(true))) }
        if let vectors { entries.append(.init("vectors", .text(vectors.name))) }
        if let vectorIds { entries.append(.init("ids", .text(vectorIds.description))) }
        if writesAllVectors { entries.append(.init("vectors_of", "all")) }
        return .object(entries)
    }
}

extension SinkSpec {
    var report: JSONValue {
        var entries: [JSONValue.Entry] = []
        func add(_ key: String, _ value: JSONValue?) { if let value { entries.append(.init(key, value)) } }
        add("where", condition.map { .text($0.description) })
        add("per", per.map { .text($0) })
        switch order {
        // With a ladder another order is the default.
        case .input: add("order", ladder == nil ? nil : "input")
        case .shuffled: add("order", "shuffled")
        case .by(let name, let descending):
            add("order", .object([.init("by", .text(name))] + (descending ? [.init("descending", .flag(true))] : [])))
        }
        switch ladder {
        case .steps(let from, let times)?: add("ladder", ["from": .integer(from), "times": .integer(times)])
        case .sizes(let sizes)?: add("ladder", .list(sizes.map { .text($0.description) }))
        case nil: break
        }
        switch shard {
        case .bytes(let bytes)?: add("shard_size", .integer(bytes))
        case .records(let count)?: add("shard_records", .integer(count))
        case nil: break
        }
        add("compression", compression.map { .text($0.rawValue) })
        return .object(entries)
    }
}
