import SluiceCore

/// `output` of a definition.
extension DefinitionReader {
    mutating func readOutput(_ entry: YAMLNode.Entry, _ output: inout OutputSpec) {
        places[.directory] = entry.keyPlace
        guard let keys = map(entry.value, named: "output", keys: Self.outputKeys) else {
            broken.insert(.directory)
            return
        }
        if let directory = keys["directory"] {
            if let given = given(directory), let text = text(given, "output.directory") {
                places[.directory] = given.value.place
                output.directory = text.isEmpty ? "" : resolved(text, at: given.value.place)
            } else {
                broken.insert(.directory)
            }
        } else {
            report("`output` needs `directory`: say where the results go, such as `directory: out`", at: entry.keyPlace)
            broken.insert(.directory)
        }
        if let entry = given(keys["record"]) {
            places[.record] = entry.value.place
            if entry.value.text == nil || entry.value.overrideEntries != nil {
                output.template = template(entry.value, "output.record")
            } else {
                output.record = choice(entry, "output.record", RecordForm.self) ?? output.record
            }
        }
        if let entry = given(keys["annotate"]), let columns = texts(entry, "output.annotate") {
            for (index, column) in columns.enumerated() { places[.annotation(index)] = column.place }
            output.annotate = columns.map { ColumnName($0.text ?? "") }
        }
        if let entry = given(keys["compression"]) {
            output.compression = choice(entry, "output.compression", OutputCompression.self) ?? output.compression
        }
        if let entry = given(keys["level"]) {
            places[.level] = entry.value.place
            if output.compression == .uncompressed {
                report(
                    "`output.level` is a zstd level, which `compression: none` does not use; remove one of them",
                    at: entry.value.place)
            }
            if case .scalar(let text, quoted: false) = entry.value.value, let level = OptionKind.integer(text) {
                output.level = level
            } else {
                report(
                    "`output.level` must be a whole number from 1 to 19, not \(entry.value.found)",
                    at: entry.value.place)
            }
        }
        readVectors(keys, &output)
        if let entry = given(keys["fail_if_empty"]) {
            output.failIfEmpty = flag(entry, "output.fail_if_empty") ?? false
        }
    }

    private mutating func readVectors(_ keys: [String: YAMLNode.Entry], _ output: inout OutputSpec) {
        if let entry = given(keys["vectors"]), let name = text(entry, "output.vectors") {
            places[.vectors] = entry.value.place
            output.vectors = ColumnName(name)
        }
        if let entry = given(keys["vectors_of"]), let word = text(entry, "output.vectors_of") {
            output.writesAllVectors = word == "all"
            if !["all", "kept"].contains(word) {
                report("`output.vectors_of` is `kept` or `all`, not `\(word)`", at: entry.value.place)
            } else if output.writesAllVectors, keys["ids"] == nil || output.vectors == nil {
                report(
                    "`output.vectors_of: all` needs `vectors`, and `ids` to tell whose they are", at: entry.value.place)
            }
        }
        guard let entry = given(keys["ids"]), let field = text(entry, "output.ids") else { return }
        output.vectorIds = FieldPath(field)
        if output.vectors == nil {
            report(
                "`output.ids` is the field of the ids beside `vectors.npy`; add `vectors: embedding`",
                at: entry.value.place)
        }
    }
}
