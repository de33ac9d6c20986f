public import SluiceCore

extension EmbedStage {
    public static let descriptor = Descriptor(
        name: "embed",
        summary: "Computes an Int8 vector of each record's text.",
        discussion: """
            Reads `text`, and gives the same bytes on every machine (`onnx`: on every machine with the same kind of \
            processor and the same runtime). A text without a word gets the zero vector and 1 in \
            the column `empty_text` (`NAME_empty` with `as: NAME`). One byte per dimension and record. `lsa` and `lexical` need no model file. They read \
            text as words, case and accents folded; scripts without spaces as 1- to 3-grams of scalars.

            \(models.map(paragraph).joined(separator: "\n"))

            `lsa` and `lexical` see neither symbols, punctuation, accents, case nor the order of words far apart: `5 + 3` and `5 - 3` \
            have the same vector, so a distance of 0 does not mean equal texts.
            """,
        options: [
            OptionSpec(
                "model", .choice(models.map { $0.name }), default: .text(LSAEmbedding.name),
                help: "embedding model", example: "lsa"),
            OptionSpec(
                "as", .newColumn,
                help: """
                    the name of the column of vectors (embedding); with another name a definition can have several, and \
                    `vectors` of a later stage says which it takes
                    """,
                example: "gradients"),
            OptionSpec(
                "dimensions", .integer(LSAEmbedding.dimensionRange),
                help: """
                    components of a vector; more keep unrelated texts further apart (lsa: 256; lexical: 384; static and \
                    onnx: those of the model, of which fewer are its first ones, as in Matryoshka models)
                    """,
                example: "256"),
            OptionSpec(
                "reservoir", .integer(LSAEmbedding.reservoirRange), help: "lsa: records to learn from (4000)",
                example: "4000"),
            OptionSpec(
                "features", .integer(LSAEmbedding.featureRange),
                help: "lsa: numbers that words and pairs of words are hashed to (65536)", example: "65536"),
            OptionSpec(
                "fitted", .path,
                help: "lsa: use what an earlier run has learned: its directory, or a file of its folder `models`",
                example: "out"),
            OptionSpec(
                "path", .either([.path, .list(.path)]),
                help: """
                    static, onnx: the model's folder, with tokenizer.json and model.safetensors (static) or model.onnx \
                    (onnx); file: a .npy file of vectors, or a list of them
                    """,
                example: "models/wordllama", isLarge: true),
            OptionSpec(
                "field", .text, help: "file: the field of the record with its vector, as a list of numbers or base64",
                example: "meta.embedding"),
            OptionSpec(
                "id", .text, help: "file: the field with a record's id, to find its row by `ids`", example: "id"),
            OptionSpec(
                "ids", .path, help: "file: the ids of the rows, in order: .npy, .jsonl, or text lines",
                example: "vectors.ids.jsonl", isLarge: true),
            OptionSpec(
                "missing", .choice(FileModel.Missing.allCases.map(\.rawValue)),
                help: "file: end the run at a record without a vector (fail), drop it, or take the zero vector",
                example: "drop"),
            OptionSpec(
                "near_duplicates", .real(0...2),
                help: "file: the cosine distance within which records are usually near duplicates, for `redundancy`",
                example: "0.02"),
            OptionSpec(
                "prefix", .text, help: "onnx, endpoint: what the model expects before a text",
                example: "\"passage: \""),
            OptionSpec(
                "max_tokens", .integer(1...1_000_000), help: "static, onnx: tokens of a text that count",
                example: "512"),
            OptionSpec(
                "long", .choice(LongText.allCases.map(\.rawValue) + [TooLongText.fail.rawValue]),
                help:
                    "static, onnx: what to do with a text of more tokens, endpoint: with one that the server refuses (cut)",
                example: "chunk-mean"),
            OptionSpec(
                "drop_unk", .flag, help: "static: leave out tokens that the vocabulary lacks (model2vec: true)",
                example: "false"),
            OptionSpec(
                "library", .path, help: "onnx: the file of ONNX Runtime (the one that the system knows)",
                example: "lib/libonnxruntime.so", isLarge: true),
            OptionSpec(
                "pooling", .choice(Pooling.allCases.map(\.rawValue)),
                help: "onnx: how the vectors of tokens become one (as the model's files say, or mean)",
                example: "cls"),
            OptionSpec(
                "output", .text, help: "onnx: the model's output to use (the one that fits)",
                example: "last_hidden_state"),
            OptionSpec(
                "device", .choice(OnnxSession.Device.allCases.map(\.rawValue)),
                help: "onnx: where the model runs (cpu); cuda needs a library with CUDA", example: "cuda"),
        ] + EndpointPlan.options)

    /// What the help says of a model.
    private static func paragraph(_ model: any EmbeddingModel.Type) -> String {
        let name = model.name + String(repeating: " ", count: max(2, 10 - model.name.count))
        return "  \(name)\(model.about)"
    }
}
