import Glibc
import SluiceTokenizer

/// `SplitMix64`, for tests.
struct Draws {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func pick<Item>(_ items: [Item]) -> Item { items[below(items.count)] }
}

extension Tokenizer {
    init(_ text: String) throws { try self.init(json: Array(text.utf8)) }

    func ids(_ text: String, most: Int = .max) -> [Int32] { ids(Array(text.utf8), most: most) }

    func ids(_ bytes: [UInt8], most: Int = .max) -> [Int32] {
        var scratch = Scratch()
        return ids(bytes, most: most, &scratch)
    }

    func ids(_ bytes: [UInt8], most: Int = .max, _ scratch: inout Scratch) -> [Int32] {
        var found: [Int32] = []
        bytes.withUnsafeBytes { encode($0, into: &found, most: most, with: &scratch) }
        return found
    }
}

/// A JSON string.
func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": out += "\\" + String(scalar)
        case _ where scalar.value < 0x20:
            let digits = String(scalar.value, radix: 16)
            out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: out.unicodeScalars.append(scalar)
        }
    }
    return out + "\""
}

/// A `tokenizer.json` of these parts, each as JSON.
func tokenizerFile(
    model: String, normalizer: String = "null", splitter: String = "null", added: String = "[]",
    processor: String = "null"
) -> String {
    #"{"version": "1.0", "added_tokens": \#(added), "normalizer": \#(normalizer), "pre_tokenizer": \#(splitter), "post_processor": \#(processor), "model": \#(model)}"#
}

/// `{"a": 0, …}`
func vocabulary(_ tokens: [String]) -> String {
    "{" + tokens.enumerated().map { "\(quoted($0.element)): \($0.offset)" }.joined(separator: ", ") + "}"
}

private let project = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

/// A file of a model: in the folder that an environment variable names, or in `.models` of the project.
func modelFile(_ variable: String, _ folder: String, _ name: String) -> [UInt8]? {
    let place = getenv(variable).map { String(cString: $0) } ?? "\(project)/.models/\(folder)"
    return readFile("\(place)/\(name)")
}

func sharedFile(_ path: String) -> [UInt8]? { readFile("\(project)/../shared/\(path)") }

func readFile(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    return bytes
}

/// What begins continuations in WordPiece, as JSON.
let continuation = "\"##\""
