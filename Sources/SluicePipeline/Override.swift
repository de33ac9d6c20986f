public import SluiceCore

/// A value that replaces one in the definition's file, such as `--set stages.coreset.keep=1%`.
///
/// The path lists keys from the outside in. A stage is selected by its name, by `embed#2` for the second `embed`, or by
/// its number, from 1: `stages.2.dimensions`. A list is written `a,b` or `[a, b]`, a map `{on: line}`. Overrides go
/// through the same checks as the file, and messages name the override as the place of a mistake. Relative paths are
/// relative to the working directory, as a shell completes them.
public struct Override: Sendable, Hashable {
    /// The keys from the outside in.
    public let path: [String]
    /// The value as written.
    public let value: String
    /// The entries of a list, if given one by one; `value` is ignored then.
    private var list: [String]?
    /// The option as written on the command line, for messages.
    public let spelling: String

    /// Parses `key.path=value`.
    ///
    /// - Throws: a problem if `=` is missing or a part of the key is empty.
    public init(_ text: String) throws(Problem) {
        let spelling = "--set \(text)"
        guard let equals = text.firstIndex(of: "=") else {
            throw Problem("\(spelling): write it as key=value, such as `--set stages.coreset.keep=1%`")
        }
        self.init(
            text[..<equals].split(separator: ".", omittingEmptySubsequences: false).map(String.init),
            String(text[text.index(after: equals)...]), spelling: spelling)
        guard !path.contains("") else { throw Problem("\(spelling): a part of the key is empty") }
    }

    /// - Parameter spelling: the option as written on the command line, such as `--seed 7`.
    public init(_ path: [String], _ value: String, spelling: String) {
        self.path = path
        self.value = value
        self.spelling = spelling
    }

    /// A list whose entries are not split, since a file name may contain a comma.
    public init(_ path: [String], list: [String], spelling: String) {
        self.init(path, "", spelling: spelling)
        self.list = list
    }

    /// Puts the value into the tree.
    func apply(to root: inout YAMLNode) throws(Problem) {
        if path.first == "stages", path.count > 1 {
            try setOption(in: &root)
        } else {
            try set(path[...], in: &root)
        }
    }

    private var place: YAMLPlace { .override(spelling) }

    private func problem(_ message: String) -> Problem { Problem("\(spelling): \(message)") }

    private func set(_ rest: ArraySlice<String>, in node: inout YAMLNode) throws(Problem) {
        guard let key = rest.first else {
            if let list {
                let entries = list.map { YAMLNode(value: .scalar($0, quoted: true), place: place) }
                node = YAMLNode(value: .list(entries), place: place)
            } else {
                node = YAMLNode(value: .scalar(value, quoted: false), place: place)
            }
            return
        }
        var entries: [YAMLNode.Entry]
        if case .map(let found) = node.value {
            entries = found
        } else if let found = node.overrideEntries {
            entries = found
        } else if node.isNull {
            entries = []
        } else {
            throw problem("`\(path[..<rest.startIndex].joined(separator: "."))` is \(node.found) and has no keys")
        }
        if let index = entries.firstIndex(where: { $0.key == key }) {
            try set(rest.dropFirst(), in: &entries[index].value)
        } else {
            var child = YAMLNode(value: .scalar("", quoted: false), place: place)
            try set(rest.dropFirst(), in: &child)
            entries.append(YAMLNode.Entry(key: key, keyPlace: place, value: child))
        }
        node = YAMLNode(value: .map(entries), place: node.place)
    }

    private func setOption(in root: inout YAMLNode) throws(Problem) {
        guard case .map(var entries) = root.value, let index = entries.firstIndex(where: { $0.key == "stages" }),
            case .list(var stages) = entries[index].value.value
        else { throw problem("the definition has no stages") }
        let names = stages.map { stage in
            if case .map(let entries) = stage.value { entries.first?.key ?? "" } else { stage.text ?? "" }
        }
        let chosen = try choose(path[1], of: names)
        guard path.count > 2 else {
            throw problem("name an option of the stage, as in `stages.\(path[1]).OPTION=…`")
        }
        if case .scalar(let name, _) = stages[chosen].value {
            let nothing = YAMLNode(value: .scalar("", quoted: false), place: stages[chosen].place)
            stages[chosen].value = .map([.init(key: name, keyPlace: stages[chosen].place, value: nothing)])
        }
        guard case .map(var stage) = stages[chosen].value, !stage.isEmpty else {
            throw problem("stage \(chosen + 1) is not a map of a name and its options")
        }
        try set(path[2...], in: &stage[0].value)
        stages[chosen].value = .map(stage)
        entries[index].value.value = .list(stages)
        root.value = .map(entries)
    }

    /// The index of the stage that `selector` names.
    private func choose(_ selector: String, of names: [String]) throws(Problem) -> Int {
        let known = names.isEmpty ? "" : " (it has \(names.map { "`\($0)`" }.joined(separator: ", ")))"
        if let number = OptionKind.integer(selector) {
            guard names.indices.contains(number - 1) else {
                throw problem("the definition has no stage \(number)\(known)")
            }
            return number - 1
        }
        let parts = selector.split(separator: "#", maxSplits: 1).map(String.init)
        let places = names.indices.filter { names[$0] == parts.first }
        guard !places.isEmpty else {
            let near = Registry.nearest(to: parts.first ?? "", in: names).map { "; did you mean `\($0)`?" } ?? ""
            throw problem("the definition has no stage `\(parts.first ?? "")`\(near)\(known)")
        }
        guard parts.count == 2 else {
            guard places.count == 1 else {
                throw problem("\(places.count) stages are called `\(selector)`; name one as `\(selector)#1`")
            }
            return places[0]
        }
        guard let number = OptionKind.integer(parts[1]), places.indices.contains(number - 1) else {
            throw problem("`#\(parts[1])` must be from 1 to \(places.count), the number of stages called `\(parts[0])`")
        }
        return places[number - 1]
    }
}
