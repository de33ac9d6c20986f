public import SluiceCore

extension EmbedStage {
    public static let descriptor = Descriptor(
        name: "embed",
        summary: "Computes an Int8 vector of each record's text.",
        discussion: """
            Reads `text`, and gives the same bytes on every machine. A text without a word gets the zero vector and 1 in \
            the column `empty_text`. One byte per dimension and record. `lsa` and `lexical` need no model file. They read \
            text as words, case and accents folded; scripts without spaces as 1- to 3-grams of scalars.

              lsa      latent semantic analysis: learns from the corpus itself which words go together. One pass counts \
            in how many records each feature occurs (words and pairs of neighbouring words, hashed to `features` numbers) \
            and takes a sample of `reservoir` records, uniform by content and independent of the seed; of each the first \
            512 different features. From it, weighted by (1 + ln n) · idf, a randomised truncated SVD (arXiv 0909.4061) \
            makes a vector of each feature. The vector of a record is the weighted sum of those of its features. \
            Texts about the same things are close, also if few words agree; rare words count little. What was learned \
            is kept in the run's folder `models`; with `fitted` a later run uses it, so that the vectors of both can be \
            compared. Memory: dimensions · features bytes, shared by all threads, and about 2.6 KiB per record of the \
            sample for each thread that there is room for; `sluice plan` shows it.
              lexical  signed hashing of words and of character 3- to 5-grams. Learns nothing, so the vectors of any two \
            corpora can be compared. It captures spelling, not meaning: near duplicates are close, paraphrases are not.
              static   a model's own table: the mean of the vectors of a text's tokens. `path` is a folder with \
            model.safetensors and tokenizer.json: wordllama, model2vec and its potion models, or StaticEmbedding of \
            sentence-transformers. It knows which words mean the same, also those that the corpus does not have, and can \
            compare vectors of any two corpora. The table is mapped into memory once for all threads, and read in place. \
            `max_tokens` tokens of a text count (wordllama: all; model2vec: `max_length` of config.json, or 512); of a \
            longer text, with `long: cut` the first, with `chunk-mean` the mean of the unit vectors of its parts. \
            Tokenizers: WordPiece, BPE with byte fallback, Unigram; `check` refuses a file with any other part.

            `lsa` and `lexical` see neither symbols, punctuation, accents, case nor the order of words far apart: `5 + 3` and `5 - 3` \
            have the same vector, so a distance of 0 does not mean equal texts.
            """,
        options: [
            OptionSpec(
                "model", .choice(Model.allCases.map(\.rawValue)), default: .text(Model.lsa.rawValue),
                help: "embedding model", example: "lsa"),
            OptionSpec(
                "dimensions", .integer(dimensionRange),
                help: """
                    components of a vector; more keep unrelated texts further apart (lsa: 256; lexical: 384; static: those \
                    of the table, of which fewer are its first ones, as in Matryoshka models)
                    """,
                example: "256"),
            OptionSpec(
                "reservoir", .integer(reservoirRange), help: "lsa: records to learn from (4000)", example: "4000"),
            OptionSpec(
                "features", .integer(featureRange),
                help: "lsa: numbers that words and pairs of words are hashed to (65536)", example: "65536"),
            OptionSpec(
                "fitted", .path,
                help: "lsa: use what an earlier run has learned: its directory, or a file of its folder `models`",
                example: "out"),
            OptionSpec(
                "path", .path, help: "static: the model's folder, with model.safetensors and tokenizer.json",
                example: "models/wordllama"),
            OptionSpec(
                "max_tokens", .integer(1...1_000_000), help: "static: tokens of a text that count", example: "512"),
            OptionSpec(
                "long", .choice(LongText.allCases.map(\.rawValue)),
                help: "static: what to do with a text of more tokens (cut)", example: "chunk-mean"),
            OptionSpec(
                "drop_unk", .flag, help: "static: leave out tokens that the vocabulary lacks (model2vec: true)",
                example: "false"),
        ])
}
