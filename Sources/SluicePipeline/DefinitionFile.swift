public import SluiceCore

/// Reads a definition from YAML.
public enum DefinitionFile {
    /// Parses and checks a definition, and fills in the defaults of all options.
    ///
    /// Reads no files; whether the inputs exist is checked later.
    ///
    /// - Parameters:
    ///   - path: the file of the text, for messages; relative paths in the text are relative to its folder.
    ///   - registry: the stages that the definition may use.
    ///   - composition: whether parameters and `use` are composed first, and how other files are read.
    ///   - overrides: applied in order before anything is checked.
    ///   - folder: rewrites paths of overrides relative to the definition's folder; without it they stay as they are.
    /// - Throws: all mistakes at once.
    public static func parse(
        text: String, path: String, registry: Registry, composition: Composition = .parameters,
        overrides: [Override] = [], folder: DefinitionFolder? = nil
    ) throws(DefinitionErrors) -> Definition {
        // Some editors write a byte order mark before the text.
        let text = text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
        let tree = YAMLTree(text: text, path: path)
        guard var root = tree.root else { throw DefinitionErrors(tree.problems) }
        var reader = DefinitionReader(
            path: path, registry: registry, folder: folder, problems: tree.problems)
        func apply(_ overrides: [Override]) {
            for override in overrides {
                do throws(Problem) {
                    try override.apply(to: &root)
                } catch {
                    reader.problems.append(error)
                }
            }
        }
        // Stages of other files may be overridden, too.
        apply(overrides.filter { $0.path.first == "parameters" })
        var composer = Composer(composition, path: path)
        root = composer.compose(root)
        reader.problems += composer.problems
        // What could not be composed would be found wrong once more.
        guard composer.problems.isEmpty else { throw DefinitionErrors(reader.sortedProblems) }
        apply(overrides.filter { $0.path.first != "parameters" })
        let definition = reader.read(root)
        guard reader.problems.isEmpty else { throw DefinitionErrors(reader.sortedProblems) }
        return definition
    }
}

/// Turns nodes into a definition and collects the mistakes in them.
struct DefinitionReader {
    let path: String
    let registry: Registry
    let folder: DefinitionFolder?
    var problems: [Problem]

    var places: [DefinitionPart: YAMLPlace] = [:]
    var broken: Set<DefinitionPart> = []

    init(path: String, registry: Registry, folder: DefinitionFolder?, problems: [Problem]) {
        self.path = path
        self.registry = registry
        self.folder = folder
        self.problems = problems
    }

    /// Problems by place in the file, then those without one.
    var sortedProblems: [Problem] {
        problems.enumerated().sorted { a, b in
            let (first, second) = (a.element.place, b.element.place)
            return (first?.line ?? .max, first?.column ?? .max, a.offset) < (
                second?.line ?? .max, second?.column ?? .max, b.offset
            )
        }.map(\.element)
    }

    mutating func report(_ message: String, at place: YAMLPlace) {
        problems.append(place.problem(message, in: path))
    }

    // MARK: The definition

    static let keys = DefinitionGuide.keys(DefinitionGuide.definition)
    static let dedupeKeys = DefinitionGuide.keys(DefinitionGuide.dedupe)
    static let inputKeys = DefinitionGuide.keys(DefinitionGuide.input)
    static let outputKeys = DefinitionGuide.keys(DefinitionGuide.output)
    static let sinkKeys = DefinitionGuide.keys(DefinitionGuide.outputs)

    mutating func read(_ root: YAMLNode) -> Definition {
        var definition = Definition(input: InputSpec(files: []), output: OutputSpec(directory: ""))
        guard let top = map(root, named: nil, keys: Self.keys) else { return definition }
        readVersion(top["sluice"], root)
        if let entry = given(top["seed"]) { definition.seed = seed(entry) ?? 0 }
        if let entry = given(top["memory"]) {
            places[.memory] = entry.value.place
            definition.memory = size(entry, "memory") ?? broken(.memory, Definition.defaultMemory)
        }

        if let entry = top["input"] {
            readInput(entry, &definition.input)
        } else {
            report("`input` is missing; say what to read, such as `input: {files: [data/*.jsonl.zst]}`", at: root.place)
            broken.insert(.files)
        }
        if let entry = top["stages"], !entry.value.isNull { definition.stages = stages(entry) }
        if let entry = top["output"] {
            readOutput(entry, &definition.output)
        } else {
            report("`output` is missing; say where the results go, such as `output: {directory: out}`", at: root.place)
            broken.insert(.directory)
        }

        if let entry = given(top["outputs"]) { readSinks(entry, &definition) }
        if let entry = given(top["tests"]) { readTests(entry, &definition) }
        if let entry = given(top["answers"]), let folder = text(entry, "answers") {
            places[.answers] = entry.value.place
            definition.answers = resolved(folder, at: entry.value.place)
        }

        let rules = DefinitionRules(definition, registry: registry, broken: broken)
        for finding in rules.findings { report(finding.message, at: place(of: finding.part, root)) }
        return rules.definition
    }

    private func place(of part: DefinitionPart, _ root: YAMLNode) -> YAMLPlace {
        if let place = places[part] { return place }
        switch part {
        case .option(let stage, _): return places[.stage(stage)] ?? root.place
        case .file: return places[.files] ?? root.place
        case .dedupeField: return places[.dedupe] ?? root.place
        default: return root.place
        }
    }

    private mutating func readInput(_ entry: YAMLNode.Entry, _ input: inout InputSpec) {
        places[.files] = entry.keyPlace
        input.folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        guard let keys = map(entry.value, named: "input", keys: Self.inputKeys) else {
            broken.insert(.files)
            return
        }
        if let entry = given(keys["files"]) {
            places[.files] = entry.value.place
            if let files = texts(entry, "input.files") {
                input.files = files.enumerated().map { index, file in
                    places[.file(index)] = file.place
                    return resolvedFile(file.text ?? "", at: file.place)
                }
            } else {
                broken.insert(.files)
            }
        } else if keys["files"] != nil {
            broken.insert(.files)
        }
        if let entry = given(keys["dedupe"]) { input.dedupe = dedupe(entry) }
        if let entry = given(keys["malformed"]) {
            input.malformed = choice(entry, "input.malformed", MalformedPolicy.self) ?? input.malformed
        }
        if let entry = given(keys["max_malformed"]) {
            places[.maxMalformed] = entry.value.place
            input.maxMalformed = quantity(entry, "input.max_malformed")
        }
        if let entry = given(keys["max_record"]) {
            places[.maxRecord] = entry.value.place
            input.maxRecord = size(entry, "input.max_record") ?? broken(.maxRecord, InputSpec.defaultMaxRecord)
        }
        if let entry = given(keys["limit"]) {
            places[.limit] = entry.value.place
            input.limit = count(entry, "input.limit")
        }
    }

    private mutating func dedupe(_ entry: YAMLNode.Entry) -> DedupeSpec? {
        places[.dedupe] = entry.value.place
        if let text = entry.value.text, entry.value.overrideEntries == nil {
            report("`input.dedupe` must be a map, not `\(text)`; \(Self.dedupeAdvice(text))", at: entry.value.place)
            return nil
        }
        guard let keys = map(entry.value, named: "input.dedupe", keys: Self.dedupeKeys) else { return nil }
        var verify = DedupeSpec.Verification.hash
        if let entry = given(keys["verify"]) {
            verify = choice(entry, "input.dedupe.verify", DedupeSpec.Verification.self) ?? verify
        }
        guard let on = keys["on"] else {
            report("`input.dedupe` needs `on`: field names, or `line`", at: entry.keyPlace)
            return nil
        }
        guard let given = given(on) else { return nil }
        places[.dedupe] = given.value.place
        if case .scalar(let text, quoted: false) = given.value.value, ["true", "false"].contains(text.lowercased()) {
            report(
                "`input.dedupe.on` must be `line` or field names, not `\(text)`; put a field of that name in quotes",
                at: given.value.place)
            return nil
        }
        if given.value.text == "line" { return DedupeSpec(on: .line, verify: verify) }
        guard let fields = texts(given, "input.dedupe.on") else { return nil }
        for (index, field) in fields.enumerated() { places[.dedupeField(index)] = field.place }
        return .fields(fields.map { FieldPath($0.text ?? "") }, verify: verify)
    }

    private static func dedupeAdvice(_ text: String) -> String {
        switch OptionKind.flag.hint(for: text) {
        case "write true": "write `dedupe: {on: line}` to compare whole lines, or `dedupe: {on: [FIELD, …]}`"
        case "write false": "remove `dedupe` for none"
        default: "write `dedupe: {on: \(text)}`"
        }
    }

    // MARK: Stages

    private mutating func stages(_ entry: YAMLNode.Entry) -> [StageSpec] {
        guard case .list(let nodes) = entry.value.value else {
            report(
                "`stages` must be a list, not \(entry.value.found); begin each stage with `- ` and its name",
                at: entry.value.place)
            return []
        }
        var specs: [StageSpec] = []
        for node in nodes where isEnabled(node) { specs.append(stage(node, specs.count)) }
        return specs
    }

    /// Whether a stage is not switched off by `enabled: false`.
    private mutating func isEnabled(_ node: YAMLNode) -> Bool {
        guard case .map(let entries) = node.value, case .map(let options)? = entries.first?.value.value,
            let entry = options.first(where: { $0.key == "enabled" }), let given = given(entry)
        else { return true }
        return flag(given, "enabled") ?? true
    }

    private mutating func stage(_ node: YAMLNode, _ index: Int) -> StageSpec {
        places[.stage(index)] = node.place
        switch node.value {
        case .scalar(let name, _):
            guard !node.isNull else { break }
            return StageSpec(name)
        case .list: break
        case .map(let entries):
            guard let first = entries.first else { break }
            places[.stage(index)] = first.keyPlace
            if entries.count > 1 {
                reportSeveralKeys(entries)
                broken.insert(.stage(index))
                return StageSpec(first.key)
            }
            return StageSpec(
                first.key, options(first, index), seed: ownSeed(first.value), when: when(first.value, index))
        }
        report(
            "stage \(index + 1) must be a name with its options, such as `- embed: {}`, not \(node.found)",
            at: node.place)
        broken.insert(.stage(index))
        return StageSpec("")
    }

    private mutating func ownSeed(_ options: YAMLNode) -> UInt64? {
        guard case .map(let entries) = options.value else { return nil }
        return given(entries.first { $0.key == "seed" }).flatMap { seed($0) }
    }

    private mutating func when(_ options: YAMLNode, _ index: Int) -> RecordCondition? {
        guard case .map(let entries) = options.value, let entry = given(entries.first { $0.key == "when" }) else {
            return nil
        }
        places[.option(stage: index, "when")] = entry.value.place
        return condition(entry, "when")
    }

    private mutating func reportSeveralKeys(_ entries: [YAMLNode.Entry]) {
        let name = entries[0].key
        let rest = entries.dropFirst()
        let options = registry[name]?.descriptor.options.map(\.name) ?? []
        if entries[0].value.isNull, rest.contains(where: { options.contains($0.key) || registry[$0.key] == nil }) {
            report(
                "`\(entries[1].key)` is at the level of the stage `\(name)`; indent its options further than its name",
                at: entries[1].keyPlace)
        } else {
            report(
                "`\(name)` and \(rest.map { "`\($0.key)`" }.joined(separator: ", ")) are in one map; begin each stage with its own `- `",
                at: entries[1].keyPlace)
        }
    }

    private mutating func options(_ entry: YAMLNode.Entry, _ index: Int) -> OptionValues {
        guard let descriptor = registry[entry.key]?.descriptor, !entry.value.isNull else { return [:] }
        guard case .map(let entries) = entry.value.value else {
            let names = descriptor.options.map(\.name).joined(separator: ", ")
            report(
                "the options of stage `\(entry.key)` must be a map, not \(entry.value.found)\(names.isEmpty ? "" : "; it takes \(names)")",
                at: entry.value.place)
            broken.insert(.stage(index))
            return [:]
        }
        var values = OptionValues()
        for entry in entries where !StageSpec.commonKeys.contains(entry.key) {
            let part = DefinitionPart.option(stage: index, entry.key)
            guard let option = descriptor.options.first(where: { $0.name == entry.key }) else {
                report(descriptor.unknownOption(entry.key), at: entry.keyPlace)
                broken.insert(part)
                continue
            }
            places[part] = entry.value.place
            if entry.value.isExplicitNull && !option.isRequired { continue }
            if let value = value(entry.value, option.kind) {
                values[entry.key] = value
            } else {
                let culprit = culprit(entry.value, option.kind)
                report(
                    descriptor.wrongOption(option, found: culprit.found, hint: hint(culprit, option.kind)),
                    at: culprit.place)
                broken.insert(part)
            }
        }
        return values
    }

    private func value(_ node: YAMLNode, _ kind: OptionKind) -> OptionValue? {
        switch (kind, node.value) {
        case (.either(let kinds), _): return kinds.lazy.compactMap { value(node, $0) }.first
        case (.list(let kind), .list(let nodes)):
            let values = nodes.compactMap { value($0, kind) }
            return values.count == nodes.count ? .list(values) : nil
        case (.list(let kind), .scalar):
            guard let nodes = node.overrideElements else { return nil }
            let values = nodes.compactMap { value($0, kind) }
            return values.count == nodes.count ? .list(values) : nil
        case (.map(let kind), .map(let entries)): return map(entries, kind)
        case (.tree, .map(let entries)): return map(entries, .tree)
        case (.tree, .list(let nodes)):
            let values = nodes.compactMap { value($0, .tree) }
            return values.count == nodes.count ? .list(values) : nil
        case (.tree, .scalar(let text, _)) where node.isOverride && (text.hasPrefix("{") || text.hasPrefix("[")):
            if let entries = node.overrideEntries { return map(entries, .tree) }
            return node.overrideElements.flatMap { value(YAMLNode(value: .list($0), place: node.place), .tree) }
        case (.map(let kind), .scalar): return node.overrideEntries.flatMap { map($0, kind) }
        case (_, .scalar(let text, let quoted)):
            // On the command line an empty text is a value; in a file it needs quotes.
            if node.isNull, !(node.isOverride && text.isEmpty && kind == .text) { return nil }
            if kind == .path { return .text(resolvedFile(text, at: node.place)) }
            if kind == .word { return .text(resolvedWord(text, at: node.place)) }
            return kind.value(spelled: text, quoted: quoted && !node.isOverride)
        default: return nil
        }
    }

    private func map(_ entries: [YAMLNode.Entry], _ kind: OptionKind) -> OptionValue? {
        var values: [String: OptionValue] = [:]
        for entry in entries {
            guard let value = value(entry.value, kind) else { return nil }
            values[entry.key] = value
        }
        return .map(values)
    }

    /// The wrong node: the first wrong entry of a list or a map, or the node itself.
    private func culprit(_ node: YAMLNode, _ kind: OptionKind) -> YAMLNode {
        switch (kind, node.value) {
        case (.list(let kind), .list(let nodes)): nodes.first { value($0, kind) == nil } ?? node
        case (.map(let kind), .map(let entries)): entries.first { value($0.value, kind) == nil }?.value ?? node
        case (.tree, .list(let nodes)): nodes.first { value($0, .tree) == nil }.map { culprit($0, .tree) } ?? node
        case (.tree, .map(let entries)):
            entries.first { value($0.value, .tree) == nil }.map { culprit($0.value, .tree) } ?? node
        default: node
        }
    }

    private func hint(_ node: YAMLNode, _ kind: OptionKind) -> String? {
        switch node.value {
        case .map: return kind == .text ? "put a text with braces in quotes" : nil
        case .list: return nil
        case .scalar(let text, let quoted):
            if node.isNull { return "leave the option out, or give it a value" }
            if quoted, kind.value(spelled: text) != nil { return "write it without quotes" }
            if case .list(.word) = kind {
                return "write its words as a list: [\(text.split(separator: " ").joined(separator: ", "))]"
            }
            if case .list(let kind) = kind, kind.value(spelled: text) != nil { return "write [\(text)]" }
            if case .map(let kind) = kind { return kind.hint(for: text) }
            return kind.hint(for: text)
        }
    }
}
