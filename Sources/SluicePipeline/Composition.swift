public import SluiceCore

/// How the text of a definition is composed before it is read: parameters, and stages from other files.
public enum Composition: Sendable {
    /// Not at all: `${` is text. For definitions that a program has resolved before, such as those in `run.json`.
    case none
    /// Parameters; `use` is a mistake, since no file can be read.
    case parameters
    /// Parameters, and `use`, by a function that reads a file.
    ///
    /// - Throws: what a person should know if it can't be read.
    case files(@Sendable (_ path: String) throws(Problem) -> String)
}

/// Replaces `${name}` by parameters and `use` by the stages of other files, in the tree of a definition.
///
/// A file that is used has `stages`, and `parameters` with their defaults, which `with` replaces. It sees no other
/// parameters, so it means the same wherever it is used.
struct Composer {
    private let composition: Composition
    private(set) var problems: [Problem] = []
    /// The files that are being read, from the outside in.
    private var files: [String]
    private static let deepest = 16
    private static let usedKeys = ["sluice", "parameters", "stages"]

    /// The parameters of one file.
    private struct Scope {
        let file: String
        var values: [String: YAMLNode] = [:]
        var names: [String] = []
        var used: Set<String> = []
    }

    init(_ composition: Composition, path: String) {
        self.composition = composition
        files = [path]
    }

    /// The definition without `parameters`, `${…}` and `use`.
    mutating func compose(_ root: YAMLNode) -> YAMLNode {
        if case .none = composition { return root }
        guard case .map(let entries) = root.value else { return root }
        var scope = Scope(file: files[0])
        declare(entries.first { $0.key == "parameters" }, in: &scope)
        var found: [YAMLNode.Entry] = []
        for entry in entries where entry.key != "parameters" {
            var entry = entry
            entry.value = entry.key == "stages" ? stages(entry.value, &scope) : substitute(entry.value, &scope)
            found.append(entry)
        }
        reportUnused(scope, entries)
        return YAMLNode(value: .map(found), place: root.place)
    }

    private mutating func report(_ message: String, at place: YAMLPlace) {
        problems.append(place.problem(message, in: files[0]))
    }

    // MARK: Parameters

    private mutating func declare(_ entry: YAMLNode.Entry?, in scope: inout Scope) {
        guard let entry, !entry.value.isNull else { return }
        guard case .map(let entries) = entry.value.value else {
            return report(
                "`parameters` must be a map of names and defaults, such as {keep: 5%}, not \(entry.value.found)",
                at: entry.value.place)
        }
        let declared = entries.filter { !$0.keyPlace.isOverride }.map(\.key)
        for entry in entries {
            if entry.keyPlace.isOverride, !declared.contains(entry.key) {
                report(Self.unknown(entry.key, declared), at: entry.keyPlace)
            } else if !Self.isName(entry.key) {
                report(
                    "the name of a parameter has letters, digits, `-` and `_`, not `\(entry.key)`", at: entry.keyPlace)
            } else {
                scope.names.append(entry.key)
                scope.values[entry.key] = entry.value
            }
        }
    }

    /// - Parameters:
    ///   - file: the file that `known` belongs to, if it isn't the one with the mistake.
    ///   - remedy: what else may have been meant, if no name is near.
    private static func unknown(
        _ name: String, _ known: [String], of file: String? = nil, remedy: String = ""
    ) -> String {
        let start = "unknown parameter `\(name)`" + (file.map { " of \($0)" } ?? "")
        if let near = Registry.nearest(to: name, in: known) { return "\(start); did you mean `\(near)`?" }
        let list = known.isEmpty ? "there are none" : "there are \(known.map { "`\($0)`" }.joined(separator: ", "))"
        return "\(start); \(list)\(remedy)"
    }

    private static func isName(_ text: some StringProtocol) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 48...57, 65...90, 97...122, 45, 95: true
                default: false
                }
            }
    }

    private mutating func reportUnused(_ scope: Scope, _ entries: [YAMLNode.Entry]) {
        guard case .map(let parameters)? = entries.first(where: { $0.key == "parameters" })?.value.value else { return }
        for entry in parameters where scope.names.contains(entry.key) && !scope.used.contains(entry.key) {
            report(
                "nothing uses the parameter `\(entry.key)`; write `${\(entry.key)}` where it belongs, or remove it",
                at: entry.keyPlace)
        }
    }

    private mutating func substitute(_ node: YAMLNode, _ scope: inout Scope) -> YAMLNode {
        switch node.value {
        case .list(let nodes):
            var found: [YAMLNode] = []
            for node in nodes { found.append(substitute(node, &scope)) }
            return YAMLNode(value: .list(found), place: node.place)
        case .map(let entries):
            var found: [YAMLNode.Entry] = []
            for entry in entries {
                var entry = entry
                entry.value = substitute(entry.value, &scope)
                found.append(entry)
            }
            return YAMLNode(value: .map(found), place: node.place)
        case .scalar(let text, let quoted):
            guard text.contains("${") else { return node }
            return substitute(text, quoted, node, &scope)
        }
    }

    private mutating func substitute(
        _ text: String, _ quoted: Bool, _ node: YAMLNode, _ scope: inout Scope
    ) -> YAMLNode {
        var result = ""
        var rest = Substring(text)
        while let start = rest.firstRange(of: "${") {
            result += rest[..<start.lowerBound]
            if result.hasSuffix("$") {
                // `$${` stands for itself.
                result += "{"
                rest = rest[start.upperBound...]
                continue
            }
            guard let end = rest[start.upperBound...].firstIndex(of: "}") else {
                report("a `${` has no `}`; write `$${` for the characters themselves", at: node.place)
                return node
            }
            let name = String(rest[start.upperBound..<end])
            rest = rest[rest.index(after: end)...]
            guard let value = scope.values[name] else {
                report(
                    Self.unknown(name, scope.names, remedy: "; write `$${\(name)}` for the characters themselves"),
                    at: node.place)
                return node
            }
            scope.used.insert(name)
            // The value as it is, whatever it is.
            if result.isEmpty, rest.isEmpty { return value }
            guard let text = value.text, !value.isNull else {
                report("`${\(name)}` is \(value.found) and stands within a text", at: node.place)
                return node
            }
            result += text
        }
        return YAMLNode(value: .scalar(result + rest, quoted: quoted), place: node.place)
    }

    // MARK: Other files

    private mutating func stages(_ node: YAMLNode, _ scope: inout Scope) -> YAMLNode {
        guard case .list(let nodes) = node.value else { return substitute(node, &scope) }
        var found: [YAMLNode] = []
        for node in nodes {
            guard case .map(let entries) = node.value, entries.contains(where: { $0.key == "use" }) else {
                found.append(substitute(node, &scope))
                continue
            }
            found += used(entries, node.place, &scope)
        }
        return YAMLNode(value: .list(found), place: node.place)
    }

    private mutating func used(
        _ entries: [YAMLNode.Entry], _ place: YAMLPlace, _ scope: inout Scope
    ) -> [YAMLNode] {
        if let other = entries.first(where: { !["use", "with"].contains($0.key) }) {
            report("`\(other.key)` is beside `use`; beside it may be `with`, the parameters", at: other.keyPlace)
            return []
        }
        guard let use = entries.first(where: { $0.key == "use" }) else { return [] }
        let name = substitute(use.value, &scope)
        guard let text = name.text, !name.isNull else {
            report(
                "`use` is the name of a file with stages, such as `use: filters.yaml`, not \(name.found)",
                at: use.value.place)
            return []
        }
        let path =
            text.hasPrefix("/") ? text : (scope.file.lastIndex(of: "/").map { String(scope.file[...$0]) } ?? "") + text
        guard !files.contains(path) else {
            let cycle = (files[(files.firstIndex(of: path) ?? 0)...] + [path]).joined(separator: " uses ")
            report("files use each other in a circle: \(cycle)", at: use.value.place)
            return []
        }
        guard files.count <= Self.deepest else {
            report("files use each other more than \(Self.deepest) deep", at: use.value.place)
            return []
        }
        guard let root = read(path, use.value.place) else { return [] }
        files.append(path)
        defer { files.removeLast() }
        return stages(of: root, path, with: entries.first { $0.key == "with" }, &scope)
    }

    private mutating func read(_ path: String, _ place: YAMLPlace) -> YAMLNode? {
        guard case .files(let load) = composition else {
            report("`use` reads another file, which is not possible here", at: place)
            return nil
        }
        let text: String
        do throws(Problem) { text = try load(path) } catch {
            report(error.message, at: place)
            return nil
        }
        let tree = YAMLTree(text: text, path: path)
        problems += tree.problems
        guard let root = tree.root?.inFile(path) else { return nil }
        guard case .map(let entries) = root.value else {
            report("\(path) must be a map with `stages`, not \(root.found)", at: root.place)
            return nil
        }
        for entry in entries where !Self.usedKeys.contains(entry.key) {
            report("a file that is used has `stages` and `parameters`, not `\(entry.key)`", at: entry.keyPlace)
        }
        return root
    }

    private mutating func stages(
        of root: YAMLNode, _ path: String, with given: YAMLNode.Entry?, _ outer: inout Scope
    ) -> [YAMLNode] {
        guard case .map(let entries) = root.value else { return [] }
        var scope = Scope(file: path)
        declare(entries.first { $0.key == "parameters" }, in: &scope)
        if let given, !given.value.isNull {
            if case .map(let values) = given.value.value {
                for entry in values {
                    guard scope.names.contains(entry.key) else {
                        report(Self.unknown(entry.key, scope.names, of: path), at: entry.keyPlace)
                        continue
                    }
                    scope.values[entry.key] = substitute(entry.value, &outer)
                }
            } else {
                report("`with` must be a map of parameters, not \(given.value.found)", at: given.value.place)
            }
        }
        for name in scope.names where scope.values[name]?.isNull == true {
            report(
                "\(path) needs the parameter `\(name)`; write `with: {\(name): …}` beside `use`",
                at: given?.keyPlace ?? root.place)
            scope.used.insert(name)
        }
        guard let list = entries.first(where: { $0.key == "stages" }), !list.value.isNull else {
            report("\(path) has no `stages`", at: root.place)
            return []
        }
        guard case .list = list.value.value else {
            report("`stages` must be a list, not \(list.value.found)", at: list.value.place)
            return []
        }
        let found = stages(list.value, &scope)
        reportUnused(scope, entries)
        guard case .list(let nodes) = found.value else { return [] }
        return nodes
    }
}

extension YAMLPlace {
    var isOverride: Bool { if case .override = self { true } else { false } }

    /// A mistake at the place, which may be in another file than the definition's.
    func problem(_ message: String, in path: String) -> Problem {
        switch self {
        case .file(let line, let column): Problem(message, at: SourcePlace(file: path, line: line, column: column))
        case .used(let file, let line, let column):
            Problem(message, at: SourcePlace(file: file, line: line, column: column))
        case .override(let spelling): Problem("\(spelling): \(message)")
        }
    }
}

extension YAMLNode {
    /// The tree with its places in a file of its own.
    fileprivate func inFile(_ path: String) -> YAMLNode {
        func moved(_ place: YAMLPlace) -> YAMLPlace {
            if case .file(let line, let column) = place { .used(path, line: line, column: column) } else { place }
        }
        let value: Value =
            switch self.value {
            case .scalar: self.value
            case .list(let nodes): .list(nodes.map { $0.inFile(path) })
            case .map(let entries):
                .map(entries.map { Entry(key: $0.key, keyPlace: moved($0.keyPlace), value: $0.value.inFile(path)) })
            }
        return YAMLNode(value: value, place: moved(place))
    }
}
