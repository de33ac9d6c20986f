package import SluiceCore

/// A JSON Schema (draft 2020-12) of definitions, for editors: it completes keys, shows their help, and marks mistakes while
/// one writes. It follows from the descriptors, so it knows the stages of the program that prints it.
package enum DefinitionSchema {
    package static func json(_ registry: Registry) -> JSONValue {
        var top = object(of: DefinitionGuide.definition).entries
        top.insert(.init("$schema", "https://json-schema.org/draft/2020-12/schema"), at: 0)
        top.insert(.init("title", "Sluice definition"), at: 1)
        guard let place = top.firstIndex(where: { $0.key == "properties" }) else { return .object(top) }
        var input = object(of: DefinitionGuide.input)
        input = replacing("dedupe", in: input, by: object(of: DefinitionGuide.dedupe))
        let sink: JSONValue = ["anyOf": [object(of: DefinitionGuide.outputs), ["type": "null"]]]
        var properties: JSONValue = .object([.init("properties", top[place].value)])
        for (key, schema) in [
            ("input", input), ("output", object(of: DefinitionGuide.output)), ("stages", stages(registry)),
            ("outputs", ["type": "object", "additionalProperties": sink]),
        ] {
            properties = replacing(key, in: properties, by: schema)
        }
        top[place] = .init("properties", properties["properties"] ?? .null)
        return .object(top)
    }

    /// The schema with that of one property replaced; its description stays.
    private static func replacing(_ key: String, in schema: JSONValue, by other: JSONValue) -> JSONValue {
        .object(
            schema.entries.map { entry in
                guard entry.key == "properties" else { return entry }
                return .init(
                    "properties",
                    .object(
                        entry.value.entries.map { property in
                            guard property.key == key else { return property }
                            let help = property.value.entries.filter { $0.key == "description" }
                            let rest = other.entries.filter { $0.key != "description" || help.isEmpty }
                            return .init(key, .object(help + rest))
                        }))
            })
    }

    private static func stages(_ registry: Registry) -> JSONValue {
        let descriptors = registry.names.compactMap { registry[$0]?.descriptor }
        let bare = descriptors.filter { !$0.options.contains(where: \.isRequired) }.map { JSONValue.text($0.name) }
        let properties = descriptors.map { descriptor -> JSONValue.Entry in
            let options = stage(descriptor)
            let isBare = !descriptor.options.contains(where: \.isRequired)
            return .init(
                descriptor.name,
                isBare
                    ? ["description": .text(descriptor.summary), "anyOf": [options, ["type": "null"]]] : options)
        }
        let one: JSONValue = [
            "type": "object", "minProperties": .integer(1), "maxProperties": .integer(1),
            "additionalProperties": .flag(false), "properties": .object(properties),
        ]
        let use: JSONValue = [
            "type": "object", "additionalProperties": .flag(false), "required": ["use"],
            "properties": [
                "use": ["description": "a file with stages", "type": "string"],
                "with": ["description": "its parameters", "type": "object"],
            ],
        ]
        return ["type": "array", "items": ["anyOf": [one, use, ["enum": .list(bare)]]]]
    }

    /// The options of a stage, and those that every stage takes.
    private static func stage(_ descriptor: Descriptor) -> JSONValue {
        object(
            of: Descriptor(
                name: descriptor.name, summary: descriptor.summary,
                options: descriptor.options + [
                    OptionSpec("enabled", .flag, default: true, help: "whether the stage is there"),
                    OptionSpec("seed", .integer(0...Int.max), help: "a seed of its own"),
                    OptionSpec(
                        "when", .text, help: "which records go through, such as `lang == en`; the others pass by"),
                ]))
    }

    private static func object(of descriptor: Descriptor) -> JSONValue {
        let required = descriptor.options.filter(\.isRequired).map { JSONValue.text($0.name) }
        return .object(
            [
                .init("description", .text(descriptor.summary)), .init("type", "object"),
                .init("additionalProperties", .flag(false)),
                .init("properties", .object(descriptor.options.map { .init($0.name, property($0)) })),
            ] + (required.isEmpty ? [] : [.init("required", .list(required))]))
    }

    private static func property(_ option: OptionSpec) -> JSONValue {
        var entries = [JSONValue.Entry("description", .text(option.help))] + schema(option.kind).entries
        if let value = option.defaultValue { entries.append(.init("default", value.report)) }
        if !option.example.isEmpty { entries.append(.init("examples", .list([.text(option.example)]))) }
        return .object(entries)
    }

    private static func schema(_ kind: OptionKind) -> JSONValue {
        switch kind {
        case .text:
            // A number or a flag stands for its spelling.
            return ["type": ["string", "number", "boolean"]]
        case .path, .word, .column, .newColumn, .label: return ["type": "string"]
        case .integer(let range): return bounded("integer", range, .min, .max) { .integer($0) }
        case .real(let range): return bounded("number", range, -.infinity, .infinity) { .real($0) }
        case .flag: return ["type": "boolean"]
        case .quantity: return number(or: #"^[0-9]+(\.[0-9]{1,6})? ?%$|^[0-9]+$"#)
        case .size: return number(or: #"^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|B)?$"#)
        case .choice(let words): return ["enum": .list(words.map { word(of: $0) })]
        case .list(let kind): return ["type": "array", "items": schema(kind)]
        case .map(let kind): return ["type": "object", "additionalProperties": schema(kind)]
        case .either(let kinds): return ["anyOf": .list(kinds.map { schema($0) })]
        case .tree: return [:]
        }
    }

    /// A word as YAML reads it: `true` is no text there.
    private static func word(of text: String) -> JSONValue {
        ["true", "false"].contains(text) ? .flag(text == "true") : .text(text)
    }

    private static func bounded<Number: Comparable>(
        _ type: String, _ range: ClosedRange<Number>, _ least: Number, _ greatest: Number,
        _ value: (Number) -> JSONValue
    ) -> JSONValue {
        .object(
            [.init("type", .text(type))]
                + (range.lowerBound > least ? [.init("minimum", value(range.lowerBound))] : [])
                + (range.upperBound < greatest ? [.init("maximum", value(range.upperBound))] : []))
    }

    private static func number(or pattern: String) -> JSONValue {
        ["anyOf": [["type": "integer", "minimum": .integer(0)], ["type": "string", "pattern": .text(pattern)]]]
    }
}
