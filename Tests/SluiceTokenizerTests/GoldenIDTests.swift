import SluiceCore
import SluiceTokenizer
import Testing

/// The ids of 50 sentences in many scripts, as the library `tokenizers` gives them.
@Suite struct GoldenIDTests {
    private func expect(
        _ variable: String, _ folder: String, _ key: String, around: Bool, most: Int = .max
    ) throws {
        guard let golden = sharedFile("golden/embeddings/sentences.jsonl") else {
            return print("skipped: golden ids of \(folder): ../shared/golden is not here")
        }
        guard let file = modelFile(variable, folder, "tokenizer.json") else {
            return print("skipped: golden ids of \(folder): set \(variable), or run `make models`")
        }
        let tokenizer = try Tokenizer(json: file)
        var scratch = Tokenizer.Scratch()
        var count = 0
        for line in golden.split(separator: 0x0A) {
            let row = try JSONValue(json: Array(line))
            let text = Array(try #require(row["text"]?.textValue).utf8)
            let expected = (row[key]?.elements ?? []).compactMap(\.integerValue)
            var ids = tokenizer.ids(text, most: most, &scratch)
            let counted = text.withUnsafeBytes { tokenizer.count($0, most: most, with: &scratch) }
            #expect(counted == ids.count)
            if around { ids = tokenizer.before + ids + tokenizer.after }
            #expect(ids.map(Int.init) == expected, "\(row["tag"]?.textValue ?? "")")
            count += 1
        }
        #expect(count == 50)
    }

    @Test func wordllama() throws { try expect("SLUICE_WORDLLAMA", "wordllama-256", "wordllama_ids", around: false) }

    @Test func miniLM() throws {
        try expect("SLUICE_MINILM", "minilm", "minilm_ids", around: true, most: 254)
    }
}
