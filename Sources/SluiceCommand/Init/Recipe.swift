import SluiceCore

/// A definition to start with, written for the records that were seen.
enum Recipe: String, CaseIterable {
    case select
    case balance
    case clean
    case dedupe
    case ltd
    case chat

    var summary: String {
        switch self {
        case .select: "a small set that covers all: near duplicates out, then facility location per cluster"
        case .balance: "a budget shared by the values of a label, each covered by facility location"
        case .clean: "lengths, heuristics of quality, duplicates in any spelling; no vectors"
        case .dedupe: "exact duplicates out, and nothing else"
        case .ltd: "k-center greedy per cluster, as in «Maybe Only 0.5% Data is Needed»"
        case .chat: "chat messages for training: cleaned, split into train and valid, shuffled"
        }
    }

    /// The definition as YAML.
    ///
    /// - Parameters:
    ///   - files: as they stand in the definition.
    ///   - directory: the output directory.
    ///   - name: the name of the definition's file.
    func text(_ look: InputLook, files: [String], directory: String, name: String) -> String {
        let draft = RecipeDraft(look)
        var lines = ["# \(summary.prefix(1).uppercased() + summary.dropFirst())."]
        lines += ["#   sluice check \(name)              every mistake, before anything is read"]
        lines += ["#   sluice show \(name)               some records, with what stages write about them"]
        lines += ["#   sluice run \(name)                `--limit 1000` tries it on the first records"]
        lines += ["# `sluice stages` lists all stages, `sluice stages NAME` the options of one."]
        lines += [draft.seen]
        lines += ["sluice: 1", "seed: 42", "memory: 512MiB            # for the whole process", "input:"]
        lines += ["  files: [\(files.map { draft.quoted($0) }.joined(separator: ", "))]"]
        lines += ["  dedupe: {on: \(draft.keys)}   # exact duplicates; `on: line` compares whole lines"]
        lines += ["  malformed: quarantine   # malformed lines go to quarantine.jsonl.zst, each with its place"]
        let stages = stages(draft)
        lines += stages.isEmpty ? ["stages: []"] : ["stages:"] + stages.map { "  \($0)" }
        lines += ["output:", "  directory: \(draft.quoted(directory))"] + output(draft).map { "  \($0)" }
        if self == .chat {
            lines += ["outputs:"]
            lines += ["  train: {where: split == train, order: shuffled}"]
            lines += ["  valid: {where: split == valid}"]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func stages(_ draft: RecipeDraft) -> [String] {
        let embed =
            "- embed: {model: lsa}              # vectors from what the corpus itself shows; nothing to download"
        let near = "- redundancy: {method: pairwise}    # near duplicates; each names the record that is kept for it"
        switch self {
        case .select:
            return [draft.format, embed, near, "- cluster: {clusters: auto}"] + draft.selection
        case .balance:
            let label = draft.label ?? "LABEL"
            let note = draft.label == nil ? "   # no field looks like a label: name yours" : ""
            return [
                draft.format, embed, near,
                "- coreset: {keep: 5%, per: \(draft.quoted(label)), shares: equal, method: facility-location}\(note)",
            ]
        case .clean: return draft.cleaning
        case .dedupe: return []
        case .ltd:
            return [
                draft.format, embed, "- cluster: {clusters: auto}",
                "- coreset: {keep: 5%, per: cluster, method: farthest-first, trim: 1%}   # trim: not the oddest records",
            ]
        case .chat:
            return draft.cleaning + [
                "- split: {parts: {train: 98%, valid: 2%}}   # by content: a record stays in its part when the data grow"
            ]
        }
    }

    private func output(_ draft: RecipeDraft) -> [String] {
        guard self == .chat, draft.isFormatted else { return [] }
        return ["record: messages   # `{\"messages\": [{\"role\": …, \"content\": …}, …]}`"]
    }
}

/// The parts of a recipe that depend on the records.
private struct RecipeDraft {
    private let look: InputLook

    init(_ look: InputLook) { self.look = look }

    /// What was seen, as a comment.
    var seen: String {
        guard look.records > 0 else { return "# No records were looked at." }
        let names = look.fields.prefix(12).map { Printable.name($0.name) }.joined(separator: ", ")
        let more = look.fields.count > 12 ? ", …" : ""
        return "# Fields of the first \(look.records) records: \(names)\(more)."
    }

    /// What makes two records duplicates.
    var keys: String {
        let names: [String]
        if look.schema == "chat" {
            names = look.fields.map(\.name).filter { ["messages", "conversations"].contains($0) }
        } else if let schema = look.schema, schema != "pairs of preference" {
            let request = schema.split(separator: " ").map(String.init).filter { $0 != "and" }
            let context = look.fields.contains { $0.name == "input" } && request.first == "instruction"
            names = request + (context ? ["input"] : [])
        } else {
            names = look.texts.first.map { [$0.name] } ?? []
        }
        return names.isEmpty ? "line" : "[\(names.map { quoted($0, isPath: true) }.joined(separator: ", "))]"
    }

    var isFormatted: Bool { look.schema != nil }

    var format: String {
        if let schema = look.schema { return "- format: {template: auto}          # \(schema): known by itself" }
        guard let text = look.texts.first else {
            return
                "- format: {template: auto}          # no known form was seen: write a template, such as \"{question}\\n{answer}\""
        }
        return "- format: {template: \(JSONValue.text("{\(text.name.replacing(".", with: "\\."))}").json)}"
    }

    var label: String? { look.labels.first?.name }

    /// Facility location per cluster, and the label if there is one.
    var selection: [String] {
        let stage = "- coreset: {keep: 5%, per: cluster, method: facility-location}"
        guard let label else { return [stage] }
        return [
            stage,
            "# `\(Printable.name(label))` looks like a label. A budget shared by its values serves small ones better:",
            "# - coreset: {keep: 5%, per: \(quoted(label)), shares: equal, method: facility-location}   # and no `cluster`",
        ]
    }

    var cleaning: [String] {
        var stages = [
            format, "- length: {min: 20, max: 50000}     # characters of the text",
            "# Rules made for web pages; many are too strict for instructions, so only these: `sluice stages quality`.",
            "- quality: {rules: [gopher-max-mean-word, gopher-top-4-gram, fineweb-repeated-lines]}",
            "- distinct: {normalize: [case, space, punctuation]}",
        ]
        if let score = look.scores.first {
            stages.append("# `\(Printable.name(score.name))` looks like a score: `sluice stages top` keeps the best.")
        }
        return stages
    }

    /// - Parameter isPath: whether it is read as the path of a field, in which a dot separates keys.
    func quoted(_ text: String, isPath: Bool = false) -> String {
        let text = isPath ? text.replacing(".", with: "\\.") : text
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case 48...57, 65...90, 97...122, 45, 46, 47, 95: true
            default: false
            }
        }
        let isName = text.utf8.first.map { (65...90).contains($0) || (97...122).contains($0) || $0 == 47 } ?? false
        let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        return isPlain && isName && !words.contains(text.lowercased()) ? text : JSONValue.text(text).json
    }
}
