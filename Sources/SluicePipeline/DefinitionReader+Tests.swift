import SluiceCore

/// Reads the tests of a definition.
extension DefinitionReader {
    static let testKeys = ["name", "after", "records"]
    static let caseKeys = ["given", "expect", "by", "reason", "columns", "record"]

    mutating func readTests(_ entry: YAMLNode.Entry, _ definition: inout Definition) {
        guard case .list(let nodes) = entry.value.value else {
            report(
                "`tests` must be a list, such as `tests: [{name: short ones go, records: [{given: {text: Hi}, expect: dropped}]}]`, not \(entry.value.found)",
                at: entry.value.place)
            return
        }
        for node in nodes { if let test = test(node) { definition.tests.append(test) } }
    }

    private mutating func test(_ node: YAMLNode) -> DefinitionTest? {
        guard let keys = map(node, named: "an entry of `tests`", keys: Self.testKeys) else { return nil }
        guard let entry = given(keys["name"]), let name = text(entry, "name") else {
            report("a test needs a `name` and `records`", at: node.place)
            return nil
        }
        var test = DefinitionTest(name, cases: [])
        if let entry = given(keys["after"]) {
            places[.test(name)] = entry.value.place
            test.after = text(entry, "after")
        } else {
            places[.test(name)] = node.place
        }
        guard case .list(let nodes)? = keys["records"]?.value.value, !nodes.isEmpty else {
            report(
                "test `\(name)` needs `records`, a list such as [{given: {text: Hi}, expect: dropped}]", at: node.place)
            return nil
        }
        for node in nodes { if let one = testCase(node, name) { test.cases.append(one) } }
        return test
    }

    private mutating func testCase(_ node: YAMLNode, _ test: String) -> DefinitionTest.Case? {
        guard let keys = map(node, named: "a record of test `\(test)`", keys: Self.caseKeys) else { return nil }
        guard let record = keys["given"], !record.value.isNull else {
            report("a record of test `\(test)` needs `given`, the record itself", at: node.place)
            return nil
        }
        var one = DefinitionTest.Case(given: record.value.json)
        if one.given.textValue?.contains(where: \.isNewline) ?? false {
            report("`given` is one line; write each record by itself", at: record.value.place)
        }
        if let entry = given(keys["expect"]) {
            one.fate = choice(entry, "expect", DefinitionTest.Fate.self) ?? one.fate
        }
        if let entry = given(keys["by"]) { one.by = text(entry, "by") }
        if let entry = given(keys["reason"]) { one.reason = text(entry, "reason") }
        if let entry = given(keys["columns"]) {
            guard case .map(let columns) = entry.value.value else {
                report("`columns` must be a map of columns and values, not \(entry.value.found)", at: entry.value.place)
                return nil
            }
            for column in columns { one.columns[column.key] = column.value.json }
        }
        one.record = given(keys["record"])?.value.json
        for (key, wrong) in [("by", one.by != nil), ("reason", one.reason != nil)] where wrong && one.fate != .dropped {
            report("`\(key)` goes with `expect: dropped`", at: node.place)
        }
        for (key, wrong) in [("columns", !one.columns.isEmpty), ("record", one.record != nil)]
        where wrong && one.fate != .kept {
            report("`\(key)` goes with `expect: kept`", at: node.place)
        }
        return one
    }
}

extension YAMLNode {
    /// The node as JSON: what is not in quotes and looks like a number, a flag or nothing is one.
    var json: JSONValue {
        switch value {
        case .map(let entries): return .object(entries.map { .init($0.key, $0.value.json) })
        case .list(let nodes): return .list(nodes.map(\.json))
        case .scalar(let text, quoted: true): return .text(text)
        case .scalar: return isNull ? .null : OptionKind.tree.value(spelled: text ?? "")?.report ?? .text(text ?? "")
        }
    }
}
