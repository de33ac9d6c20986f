import SluiceCore
import SluicePipeline

/// Descriptions of stages and of the parts of a definition as Markdown: `sluice stages --markdown`.
enum Reference {
    /// All parts and stages, with a list of contents.
    static func document(_ registry: Registry) -> String {
        let stages = registry.names.compactMap { registry[$0]?.descriptor }
        let parts = DefinitionGuide.parts
        func contents(_ descriptors: [Descriptor]) -> [String] {
            descriptors.map { "- [`\($0.name)`](#\($0.name)): \(prose($0.summary))" }
        }
        let head = ["# Stages and definition", "", "What `sluice stages --markdown` prints.", "", "## Stages", ""]
        let middle = contents(stages) + ["", "## Parts of a definition", ""] + contents(parts)
        let sections = stages.flatMap { [""] + section($0) } + parts.flatMap { [""] + section($0, keys: "Keys") }
        return (head + middle + sections).joined(separator: "\n")
    }

    /// One stage, or one part of a definition.
    static func section(_ descriptor: Descriptor, keys: String = "Options") -> [String] {
        var lines = ["## `\(descriptor.name)`", "", prose(descriptor.summary)]
        lines += discussion(descriptor.discussion)
        guard !descriptor.options.isEmpty else { return lines + ["", "It has no options."] }
        return lines + ["", "\(keys):", ""] + descriptor.options.map(entry)
    }

    /// Indented lines become entries of a list if they have a term and, after two spaces or more, its description;
    /// otherwise they are code.
    private static func discussion(_ text: String) -> [String] {
        enum Kind { case prose, entry, code }
        var lines: [String] = []
        var last: Kind?
        for paragraph in text.split(separator: "\n") {
            let body = paragraph.drop { $0 == " " }
            let gap = body.firstRange(of: "  ")
            let kind: Kind = paragraph.first != " " ? .prose : gap == nil ? .code : .entry
            if last == .code, kind != .code { lines.append("```") }
            if kind == .prose || kind != last { lines.append("") }
            if kind == .code, last != .code { lines.append("```yaml") }
            if kind == .entry, let gap {
                let term = body[..<gap.lowerBound].replacing("`", with: "")
                lines.append("- `\(term)`: \(prose(String(body[gap.upperBound...].drop { $0 == " " })))")
            } else {
                lines.append(kind == .code ? String(body) : prose(String(body)))
            }
            last = kind
        }
        return last == .code ? lines + ["```"] : lines
    }

    private static func entry(_ option: OptionSpec) -> String {
        var line = "- **`\(option.name)`** (\(prose(option.facts))): \(prose(option.help))."
        if !option.example.isEmpty { line += " Example: `\(option.name): \(option.example)`" }
        return line
    }

    /// A text with the characters escaped that Markdown would read as markup, outside of code in backticks.
    private static func prose(_ text: String) -> String {
        var result = ""
        var isCode = false
        for character in text {
            if character == "`" { isCode.toggle() }
            if !isCode, "*_<\\".contains(character) { result.append("\\") }
            result.append(character)
        }
        return result
    }
}

extension OptionSpec {
    /// The kind of value and the default, in words.
    var facts: String {
        if isRequired { return kind.description + "; required" }
        let value = defaultValue.map { Self.spelled($0.report) } ?? ""
        return value.isEmpty ? kind.description : "\(kind.description); default \(value)"
    }

    /// A value as a definition has it.
    private static func spelled(_ value: JSONValue) -> String {
        switch value {
        case .list(let values): "[\(values.map(spelled).joined(separator: ", "))]"
        case .object(let entries): "{\(entries.map { "\($0.key): \(spelled($0.value))" }.joined(separator: ", "))}"
        default: value.textValue ?? value.json
        }
    }
}
