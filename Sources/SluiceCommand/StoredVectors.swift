import SluiceCore
import SluiceEngine

/// The vectors that a run has written of all its records, in place of the stage that made them.
struct StoredVectors {
    private let reader: RunReader
    private let column: ColumnName
    private let field: String

    /// - Throws: `CommandFailure` if the run has not written them.
    init(_ reader: RunReader) throws {
        let output = reader.manifest["definition"]?["output"]
        guard let column = output?["vectors"]?.textValue, let field = output?["ids"]?.textValue,
            output?["vectors_of"]?.textValue == "all"
        else {
            throw CommandFailure.usage(
                "\(reader.path) has no vectors of all its records; a run writes them with `output: {vectors: embedding, ids: FIELD, vectors_of: all}`"
            )
        }
        (self.reader, self.column, self.field) = (reader, ColumnName(column), field)
    }

    /// The definition with `embed: {model: file}` in place of the stage that writes the column.
    func replacing(_ definition: Definition) throws -> Definition {
        let made = try RunVectors.embedding(of: definition, registry: Environment.registry, column: column)
        guard let index = made?.stage, let spec = made?.spec else {
            throw CommandFailure.usage("\(reader.path): no stage of its definition writes `\(column)`")
        }
        var options: OptionValues = [
            "model": "file", "path": .text("\(reader.path)/vectors.npy"), "id": .text(field),
            "ids": .text("\(reader.path)/vectors.ids.jsonl"),
        ]
        if column != .embedding { options["as"] = .text(column.name) }
        options["near_duplicates"] = spec.nearDuplicateDistance.map { .real($0) }
        var replaced = definition
        replaced.stages[index] = StageSpec("embed", options)
        return replaced
    }

    /// The part of a manifest that the vectors decide, and not how they were made: `picks.jsonl.zst` also has numbers of
    /// the stage that made them, such as `empty_text`, as far as its place among the passes asks for them.
    static func results(_ manifest: JSONValue) -> JSONValue {
        let outputs = (manifest["outputs"]?.elements ?? []).filter { $0["file"]?.textValue != ResultFile.picks }
        return .object(
            manifest.entries.filter { ["counts", "exports", "quarantine", "inputs"].contains($0.key) } + [
                JSONValue.Entry("outputs", .list(outputs))
            ])
    }
}
