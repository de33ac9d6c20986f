import Embedder
import Glibc
import SluiceCore
import SluiceGeometry
import SluiceTesting
import SluiceTokenizer

/// Files that a definition names: vectors, ids, tokenizers, tables of a model, numbers in records. Each is read or refused
/// with a message, and nothing crashes.
func fuzzModels(_ input: UnsafeRawBufferPointer) {
    var reader = Reader(rest: input)
    let kind = reader.byte() % 6
    let bytes = reader.rest
    switch kind {
    case 0: withNamed("vectors.npy", bytes, vectors)
    case 1: withNamed("ids.npy", bytes) { ids($0) }
    case 2: withNamed("ids.jsonl", bytes) { ids($0) }
    case 3: field(bytes)
    case 4: tokenizer(bytes)
    default: withNamed("model.safetensors", bytes, table)
    }
}

/// A folder in memory with one file.
private func withNamed(_ name: String, _ bytes: UnsafeRawBufferPointer, _ body: (String) -> Void) {
    let folder = "/dev/shm/sluice-fuzz-models-\(getpid())"
    mkdir(folder, 0o700)
    let path = "\(folder)/\(name)"
    write(bytes, to: path)
    body(path)
    unlink(path)
}

private func write(_ bytes: UnsafeRawBufferPointer, to path: String) {
    let file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    check(file >= 0 && Glibc.write(file, bytes.baseAddress, bytes.count) == bytes.count, "no file in /dev/shm")
    close(file)
}

private func vectors(_ path: String) {
    do throws(VectorFileError) {
        let file = try VectorFile(path)
        guard file.count * file.dimension < 1 << 20 else { return }
        let rows = try file.read()
        check(rows.count == file.count * file.dimension, "\(rows.count) numbers")
    } catch { check(error.description.hasPrefix(path), error.description) }
}

private func run(_ options: OptionValues, records: [String]) {
    do {
        let run = try InMemoryRun([StageSpec("embed", options)], registry: Registry([EmbedStage.self]), records: records)
        check(run.kept.count <= records.count, "records were made")
    } catch let error as StageError {
        check(error.code != .fault && !error.message.isEmpty, error.message)
    } catch { check(!"\(error)".isEmpty, "no words") }
}

/// Three vectors, and these ids.
private func ids(_ path: String) {
    let header = Array("{'descr': '|i1', 'fortran_order': False, 'shape': (3, 16), }\n".utf8)
    let file: [UInt8] =
        [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.count), 0] + header + (0..<48).map { UInt8($0) }
    let vectors = "\(path).vectors.npy"
    file.withUnsafeBytes { write($0, to: vectors) }
    run(
        ["model": "file", "path": .text(vectors), "id": "id", "ids": .text(path), "missing": "drop"],
        records: [#"{"id":1}"#, #"{"id":"b"}"#, "{}"])
    unlink(vectors)
}

/// The bytes as a string, and as what stands between the brackets of a list.
private func field(_ bytes: UnsafeRawBufferPointer) {
    let text = String(decoding: bytes, as: UTF8.self)
    for value in [JSONValue.text(text).json, "[\(text)]"] {
        let line = #"{"v":\#(value)}"#
        guard (try? JSONValue(json: Array(line.utf8))) != nil, !line.utf8.contains(0x0A) else { continue }
        run(["model": "file", "field": "v", "dimensions": 16], records: [line])
    }
}

private func tokenizer(_ bytes: UnsafeRawBufferPointer) {
    guard let tokenizer = try? Tokenizer(json: bytes) else { return }
    var scratch = Tokenizer.Scratch()
    let count = bytes.withMemoryRebound(to: UInt8.self) {
        tokenizer.count(UnsafeRawBufferPointer($0), with: &scratch)
    }
    check(count >= 0, "\(count) tokens")
}

/// A table beside a tokenizer of four words.
private func table(_ path: String) {
    let folder = String(path.dropLast("/model.safetensors".utf8.count))
    let tokenizer = #"""
        {"model": {"type": "WordPiece", "unk_token": "u", "continuing_subword_prefix": "##", "vocab": {"u": 0, "a": 1, "b": 2, "##c": 3}},
        "normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"}}
        """#
    Array(tokenizer.utf8).withUnsafeBytes { write($0, to: "\(folder)/tokenizer.json") }
    do throws(StageError) {
        let stage = try EmbedStage(options: ["model": "static", "path": .text(folder)])
        _ = try stage.identity()
    } catch { check(error.code != .fault && !error.message.isEmpty, error.message) }
    unlink("\(folder)/tokenizer.json")
}
