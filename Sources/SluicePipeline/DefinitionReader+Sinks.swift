import SluiceCore

/// `outputs` and `output.record` of a definition.
extension DefinitionReader {
    /// A template of fields and columns: a map, in which texts may name them in braces.
    mutating func template(_ node: YAMLNode, _ name: String) -> RecordTemplate? {
        switch node.overrideEntries.map(YAMLNode.Value.map) ?? node.value {
        case .map(let entries):
            var found: [RecordTemplate.Entry] = []
            for entry in entries {
                guard let value = template(entry.value, "\(name).\(entry.key)") else { return nil }
                found.append(RecordTemplate.Entry(entry.key, value))
            }
            return .object(found)
        case .list(let nodes):
            var found: [RecordTemplate] = []
            for node in nodes {
                guard let value = template(node, name) else { return nil }
                found.append(value)
            }
            return .list(found)
        case .scalar(let text, quoted: false) where node.isNull || ["true", "false"].contains(text):
            return .constant(node.isNull ? .null : .flag(text == "true"))
        case .scalar(let text, quoted: false) where OptionKind.integer(text) != nil:
            return .constant(.integer(OptionKind.integer(text) ?? 0))
        case .scalar(let text, quoted: false) where Self.real(text) != nil:
            return .constant(.real(Self.real(text) ?? 0))
        case .scalar(let text, _):
            do throws(RecordTemplate.Mistake) { return try RecordTemplate(text: text) } catch {
                report("`\(name)`: \(error.message)", at: node.place)
                return nil
            }
        }
    }

    private static func real(_ text: String) -> Double? {
        guard
            case .real(let value)? = OptionKind.real(-.greatestFiniteMagnitude ... .greatestFiniteMagnitude)
                .value(spelled: text)
        else { return nil }
        return value
    }

    mutating func readSinks(_ entry: YAMLNode.Entry, _ definition: inout Definition) {
        guard let entries = entry.value.overrideEntries ?? entry.value.entries else {
            report(
                "`outputs` must be a map of names, such as `outputs: {train: {where: split == train}}`, not \(entry.value.found)",
                at: entry.value.place)
            return
        }
        for entry in entries {
            places[.sink(definition.sinks.count)] = entry.keyPlace
            if let sink = sink(entry) { definition.sinks.append(sink) }
        }
    }

    private mutating func sink(_ entry: YAMLNode.Entry) -> SinkSpec? {
        let name = "outputs.\(entry.key)"
        var sink = SinkSpec(entry.key)
        // A name alone is a copy of all kept records.
        if entry.value.isNull { return sink }
        guard let keys = map(entry.value, named: name, keys: Self.sinkKeys) else { return nil }
        if let entry = given(keys["where"]) { sink.condition = condition(entry, "\(name).where") }
        if let entry = given(keys["per"]) { sink.per = text(entry, "\(name).per") }
        if let entry = given(keys["ladder"]) {
            sink.ladder = ladder(entry, "\(name).ladder")
            sink.order = .by("rank")
        }
        if let entry = given(keys["order"]) { sink.order = order(entry, "\(name).order") ?? sink.order }
        sink.shard = shard(keys, name)
        if let entry = given(keys["compression"]) {
            sink.compression = choice(entry, "\(name).compression", OutputCompression.self)
        }
        return sink
    }

    private mutating func order(_ entry: YAMLNode.Entry, _ name: String) -> SinkOrder? {
        switch entry.value.text {
        case "input"?: return .input
        case "shuffled"?: return .shuffled
        default: break
        }
        if (entry.value.overrideEntries ?? entry.value.entries) != nil,
            let keys = map(entry.value, named: name, keys: ["by", "descending"])
        {
            guard let by = given(keys["by"]), let column = text(by, "\(name).by") else {
                report("`\(name)` needs `by`, a column or field, such as `order: {by: score}`", at: entry.value.place)
                return nil
            }
            return .by(
                column, descending: given(keys["descending"]).flatMap { flag($0, "\(name).descending") } ?? false)
        }
        report(
            "`\(name)` is `input`, `shuffled`, or by a column or field such as `{by: score, descending: true}`, not \(entry.value.found)",
            at: entry.value.place)
        return nil
    }

    private mutating func ladder(_ entry: YAMLNode.Entry, _ name: String) -> SinkLadder? {
        if let text = entry.value.text, text.hasPrefix("x"), let times = OptionKind.integer(String(text.dropFirst())) {
            return .steps(from: 10, times: times)
        }
        if (entry.value.overrideEntries ?? entry.value.entries) != nil,
            let keys = map(entry.value, named: name, keys: ["from", "times"])
        {
            func number(_ key: String, _ usual: Int) -> Int? {
                guard let entry = given(keys[key]) else { return usual }
                return count(entry, "\(name).\(key)")
            }
            guard let from = number("from", 10), let times = number("times", 4) else { return nil }
            return .steps(from: from, times: times)
        }
        if let nodes = entry.value.overrideElements ?? entry.value.elements {
            let sizes = nodes.compactMap { $0.text.flatMap { Quantity($0) } }
            if sizes.count == nodes.count, !sizes.isEmpty { return .sizes(sizes) }
        }
        report(
            "`\(name)` is a factor such as `x4`, `{from: 100, times: 10}`, or a list of sizes such as [100, 1000, 10%], not \(entry.value.found)",
            at: entry.value.place)
        return nil
    }

    private mutating func shard(_ keys: [String: YAMLNode.Entry], _ name: String) -> SinkShard? {
        if let bytes = given(keys["shard_size"]) {
            if let records = given(keys["shard_records"]) {
                report("`\(name)` has both `shard_size` and `shard_records`; remove one", at: records.value.place)
            }
            return size(bytes, "\(name).shard_size").map { .bytes($0) }
        }
        guard let records = given(keys["shard_records"]) else { return nil }
        return count(records, "\(name).shard_records").map { .records($0) }
    }

    mutating func count(_ entry: YAMLNode.Entry, _ name: String) -> Int? {
        if case .scalar(let text, quoted: false) = entry.value.value, let number = OptionKind.integer(text) {
            return number
        }
        report("`\(name)` must be a whole number, not \(entry.value.found)", at: entry.value.place)
        return nil
    }
}

extension YAMLNode {
    fileprivate var entries: [Entry]? { if case .map(let entries) = value { entries } else { nil } }
    fileprivate var elements: [YAMLNode]? { if case .list(let nodes) = value { nodes } else { nil } }
}
