import Glibc
import SluiceCore

/// Folders of small static models, in `/tmp`, removed with the last holder.
final class ModelFolder {
    let path: String

    init() {
        var name = Array("/tmp/sluice-model-XXXXXX".utf8CString)
        path = mkdtemp(&name).map { String(cString: $0) } ?? "/tmp"
    }

    deinit {
        for name in ["model.safetensors", "tokenizer.json", "config.json", "README.md", "other.safetensors"] {
            unlink("\(path)/\(name)")
        }
        rmdir(path)
    }

    func write(_ name: String, _ bytes: [UInt8]) {
        guard let file = fopen("\(path)/\(name)", "wb") else { return }
        defer { fclose(file) }
        fwrite(bytes, 1, bytes.count, file)
    }

    func write(_ name: String, _ text: String) { write(name, Array(text.utf8)) }

    /// A model whose tokens are `<unk>`, the words, and `##` with the letters a to e.
    ///
    /// - Parameter tensors: in the order of their data.
    convenience init(words: [String], tensors: [TestTensor], config: String? = nil) {
        self.init()
        write("tokenizer.json", Self.tokenizer(words))
        write("model.safetensors", safetensors(tensors))
        if let config { write("config.json", config) }
    }

    static func tokens(_ words: [String]) -> [String] { ["<unk>"] + words + ["##a", "##b", "##c", "##d", "##e"] }

    static func tokenizer(_ words: [String]) -> String {
        let entries = tokens(words).enumerated().map { "\(JSONValue.text($0.element).json): \($0.offset)" }
        let prefix = JSONValue.text("##").json
        return
            #"{"model": {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": \#(prefix), "vocab": {\#(entries.joined(separator: ", "))}}, "normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"}}"#
    }
}

/// A tensor to be written.
struct TestTensor {
    let name: String
    let type: String
    let shape: [Int]
    let bytes: [UInt8]

    static func f32(_ name: String, _ shape: [Int], _ values: [Float]) -> TestTensor {
        TestTensor(name: name, type: "F32", shape: shape, bytes: values.flatMap { little($0.bitPattern, 4) })
    }

    /// Numbers that half precision holds: multiples of 1/1024 below 2 in size.
    static func f16(_ name: String, _ shape: [Int], _ values: [Float]) -> TestTensor {
        let bits = values.map { value -> UInt16 in
            let bits = value.bitPattern
            guard value != 0 else { return UInt16(bits >> 16) }
            return UInt16(bits >> 31) << 15 | UInt16((bits >> 23 & 0xFF) - 112) << 10 | UInt16(bits >> 13 & 0x3FF)
        }
        return TestTensor(name: name, type: "F16", shape: shape, bytes: bits.flatMap { little($0, 2) })
    }

    static func i8(_ name: String, _ shape: [Int], _ values: [Float]) -> TestTensor {
        TestTensor(name: name, type: "I8", shape: shape, bytes: values.map { UInt8(bitPattern: Int8($0)) })
    }

    static func i64(_ name: String, _ values: [Int]) -> TestTensor {
        TestTensor(name: name, type: "I64", shape: [values.count], bytes: values.flatMap { little($0, 8) })
    }
}

func little(_ value: some FixedWidthInteger, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

func safetensors(_ tensors: [TestTensor]) -> [UInt8] {
    var place = 0
    let entries = tensors.map { tensor in
        let start = place
        place += tensor.bytes.count
        return
            #"\#(JSONValue.text(tensor.name).json): {"dtype": "\#(tensor.type)", "shape": [\#(tensor.shape.map(String.init).joined(separator: ", "))], "data_offsets": [\#(start), \#(place)]}"#
    }
    let header = Array(("{" + entries.joined(separator: ", ") + "}").utf8)
    return little(header.count, 8) + header + tensors.flatMap(\.bytes)
}

/// The folder of a model that a test needs: an environment variable's, or one of `.models` in the project.
func modelFolder(_ variable: String, _ name: String) -> String? {
    let project = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let path = getenv(variable).map { String(cString: $0) } ?? "\(project)/.models/\(name)"
    return access("\(path)/model.safetensors", R_OK) == 0 ? path : nil
}
