import SluiceCore
import SluiceTokenizer

/// A sentence encoder: an ONNX file with its tokenizer. All threads share it.
final class OnnxModel: Sendable {
    /// Which files, loaded how.
    struct Source: Sendable, Hashable {
        let path: String
        let library: String?
        let device: OnnxSession.Device
        /// The output to use; nil for the one that fits.
        let output: String?
        /// Whether vectors of tokens are preferred to one of the whole text, since the definition names a pooling.
        let prefersTokens: Bool
    }

    /// What an input means.
    enum Input: String, CaseIterable, Sendable {
        case ids = "input_ids"
        case mask = "attention_mask"
        case types = "token_type_ids"
        case positions = "position_ids"
    }

    /// The state of the files when they were opened; see `OnnxCache`.
    let version: String
    let file: OnnxFile
    let config: OnnxConfig
    let tokenizer: Tokenizer
    let inputs: [(input: Input, element: OnnxSession.Element)]
    let output: OnnxFile.Value
    let session: OnnxSession
    /// Bytes of the model's files.
    let fileBytes: Int
    private let path: String

    /// Reads the files and loads the model. Cost: half a second for 23 million numbers.
    ///
    /// - Throws: `StageError` with the option at fault.
    init(_ source: Source, _ folder: OnnxFolder, version: String) throws(StageError) {
        self.version = version
        path = folder.model
        config = try OnnxConfig(folder)
        file = try Self.read(folder.model)
        var bytes = 0
        for path in try Self.paths(folder, file) { bytes += try MappedFile(path).count }
        fileBytes = bytes
        inputs = try Self.inputs(file, path)
        output = try Self.output(source, file, path)
        let text = try MappedFile(folder.tokenizer)
        do throws(TokenizerError) { tokenizer = try Tokenizer(json: text.bytes) } catch {
            throw OnnxFolder.wrong("\(folder.tokenizer): \(error.message)")
        }
        let runtime = try OnnxRuntime.find(source.library)
        do throws(OnnxFault) {
            session = try OnnxSession(
                runtime, path: path, device: source.device, inputs: inputs.map(\.input.rawValue), output: output.name)
        } catch {
            if source.device == .cuda {
                throw .option("device", "ONNX Runtime \(runtime.version) can't use a card of NVIDIA: \(error.message)")
            }
            throw OnnxFolder.wrong("ONNX Runtime \(runtime.version) can't load \(path): \(error.message)")
        }
    }

    static func read(_ path: String) throws(StageError) -> OnnxFile {
        let file = try MappedFile(path)
        do throws(OnnxFault) { return try OnnxFile(file.bytes) } catch {
            throw OnnxFolder.wrong("\(path) is no ONNX model that can be used: \(error.message)")
        }
    }

    /// The files with the model's numbers, the model itself first.
    static func paths(_ folder: OnnxFolder, _ file: OnnxFile) throws(StageError) -> [String] {
        for name in file.others where name.hasPrefix("/") || name.split(separator: "/").contains("..") {
            throw OnnxFolder.wrong("\(folder.model) names the file \(name) outside of its folder")
        }
        return [folder.model] + file.others.map { "\(OnnxFolder.parent(folder.model))/\($0)" }
    }

    private static func inputs(
        _ file: OnnxFile, _ path: String
    ) throws(StageError) -> [(input: Input, element: OnnxSession.Element)] {
        var found: [(input: Input, element: OnnxSession.Element)] = []
        for value in file.inputs {
            guard let input = Input(rawValue: value.name) else {
                let known = Input.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")
                throw OnnxFolder.wrong(
                    "\(path) wants the input \(value.words); the inputs known here are \(known), so it is no sentence encoder that can be used"
                )
            }
            guard value.element == 6 || value.element == 7, value.shape.map({ $0.count == 2 }) ?? true else {
                throw OnnxFolder.wrong(
                    "\(path) wants the input \(value.words); it must be int64 or int32, with a row per text")
            }
            found.append((input, value.element == 6 ? .int32 : .int64))
        }
        guard found.contains(where: { $0.input == .ids }) else {
            throw OnnxFolder.wrong("\(path) has no input `input_ids`; it is no sentence encoder")
        }
        return found
    }

    /// The vectors of tokens, of three dimensions, or of the whole text, of two.
    private static func output(_ source: Source, _ file: OnnxFile, _ path: String) throws(StageError) -> OnnxFile.Value
    {
        let list = file.outputs.map(\.words).joined(separator: "; ")
        if let name = source.output {
            guard let found = file.outputs.first(where: { $0.name == name }) else {
                throw .option("output", "\(path) has no output `\(name)`; it has \(list)")
            }
            return found
        }
        func fits(_ value: OnnxFile.Value, _ rank: Int) -> Bool {
            (value.element == 1 || value.element == 10) && (value.shape?.count ?? rank) == rank
        }
        let pooled = [("sentence_embedding", 2)]
        let tokens = [("last_hidden_state", 3), ("token_embeddings", 3)]
        for (name, rank) in source.prefersTokens ? tokens + pooled : pooled + tokens {
            if let found = file.outputs.first(where: { $0.name == name && fits($0, rank) }) { return found }
        }
        for rank in [3, 2] {
            let found = file.outputs.filter { fits($0, rank) && $0.shape != nil }
            if found.count == 1 { return found[0] }
        }
        let known = (tokens + pooled).map { "`\($0.0)`" }.joined(separator: ", ")
        throw OnnxFolder.wrong(
            "none of the outputs of \(path) is known as the vectors: neither \(known) nor a single one of the shape [texts, tokens, numbers] or [texts, numbers]; it has \(list.isEmpty ? "none" : list). Name the one to use by `output`"
        )
    }
}

// MARK: Trying it

extension OnnxModel {
    /// Tokens of a batch, of texts that have equally many: more gain nothing on a processor.
    static let batchTokens = 256
    /// The longest text that is tried before anything is read.
    static let longestTrial = 1024

    /// What running a model on made-up texts shows.
    struct Trial: Sendable {
        /// The tokens of the longest text.
        let longest: Int
        /// The numbers of a vector.
        let columns: Int
        /// Whether the output has a vector per token, not per text.
        let givesTokens: Bool
        /// Whether a text's numbers are the same, bit for bit, alone and beside others.
        let rowsAreIndependent: Bool
    }

    /// Runs the model on texts of random tokens, the largest id among them, of which the longest has `most` tokens, but at
    /// most 1,024.
    ///
    /// Models whose steps are scaled by the largest number of a batch, such as those quantised dynamically to Int8, give
    /// a text other numbers beside other texts; this shows in nearly every bit.
    ///
    /// - Throws: `StageError` if it fails, or if its output has no known shape.
    func trial(upTo most: Int) throws(StageError) -> Trial { try tried(min(most, Self.longestTrial)).get() }

    private func tried(_ longest: Int) -> Result<Trial, StageError> {
        do throws(OnnxFault) {
            let tokens = min(8, longest)
            let shape = try run(ids(0, tokens), rows: 1).shape
            guard shape.count == 2 || shape.count == 3, shape[0] == 1, let columns = shape.last, columns > 0,
                shape.count == 2 || shape[1] == tokens
            else {
                throw OnnxFault(
                    "its output `\(output.name)` has the shape \(shape) for one text of \(tokens) tokens; it must be [1, \(tokens), numbers] or [1, numbers]"
                )
            }
            do throws(OnnxFault) { _ = try run(ids(0, longest), rows: 1) } catch {
                return .failure(
                    .option(
                        "max_tokens",
                        "\(path) can't be run on a text of \(longest) tokens; give less (\(error.message))"
                    ))
            }
            return .success(
                Trial(
                    longest: longest, columns: columns, givesTokens: shape.count == 3,
                    rowsAreIndependent: try rowsAreIndependent(upTo: longest)))
        } catch { return .failure(failed(error)) }
    }

    func failed(_ fault: OnnxFault) -> StageError {
        let hint =
            fault.message.contains("indices")
            ? ". The tokenizer has \(tokenizer.size) tokens; it may belong to another model" : ""
        return OnnxFolder.wrong(
            "\(path) can't be run by ONNX Runtime \(session.runtime.version): \(fault.message)\(hint)")
    }

    private func rowsAreIndependent(upTo longest: Int) throws(OnnxFault) -> Bool {
        for (rows, most) in [(32, 8), (7, 33), (2, 128)] {
            let columns = min(most, longest)
            let all = ids(1, rows * columns)
            let together = try run(all, rows: rows)
            let size = together.bits.count / rows
            for row in Set([0, 1, rows / 2, rows - 1]).sorted() {
                let alone = try run(Array(all[(row * columns)..<((row + 1) * columns)]), rows: 1)
                guard together.bits[(row * size)..<((row + 1) * size)].elementsEqual(alone.bits) else { return false }
            }
        }
        return true
    }

    /// Made-up ids, always the same; the second is the largest.
    private func ids(_ draw: UInt64, _ count: Int) -> [Int32] {
        (0..<count).map { place in
            place == 1
                ? Int32(tokenizer.size - 1)
                : Int32(Seed.mix(draw << 32 | UInt64(place)) % UInt64(max(1, tokenizer.size)))
        }
    }

    private func run(_ ids: [Int32], rows: Int) throws(OnnxFault) -> (shape: [Int], bits: [UInt8]) {
        let feed = OnnxFeed(self, capacity: ids.count)
        feed.fill(rows: rows, columns: ids.count / rows) { ids[$0 * (ids.count / rows) + $1] }
        return try session.run(feed.inputs, rows: rows, columns: ids.count / rows) { output throws(OnnxFault) in
            guard let element = output.element, element == .float || element == .half else {
                throw OnnxFault("its output `\(self.output.name)` is neither float nor float16")
            }
            let bytes = output.shape.reduce(element.bytes, *)
            return (output.shape, Array(UnsafeRawBufferPointer(start: output.data, count: bytes)))
        }
    }
}

/// The inputs of a call, which a thread uses again and again.
final class OnnxFeed {
    private let model: OnnxModel
    let inputs: [OnnxSession.Input]

    /// - Parameter capacity: the most tokens of a call.
    init(_ model: OnnxModel, capacity: Int) {
        self.model = model
        inputs = model.inputs.map { input in
            OnnxSession.Input(
                data: .allocate(byteCount: max(1, capacity) * input.element.bytes, alignment: 64),
                element: input.element)
        }
    }

    deinit { for input in inputs { input.data.deallocate() } }

    /// Bytes of a feed at most.
    static func bytes(capacity: Int) -> Int { capacity * 8 * OnnxModel.Input.allCases.count }

    /// Writes the tokens of all rows, which are equally many, so that nothing is padded.
    func fill(rows: Int, columns: Int, _ id: (_ row: Int, _ column: Int) -> Int32) {
        for (index, (kind, element)) in model.inputs.enumerated() {
            func fill<Number: FixedWidthInteger>(_ type: Number.Type) {
                let numbers = inputs[index].data.assumingMemoryBound(to: Number.self)
                for row in 0..<rows {
                    for column in 0..<columns {
                        numbers[row * columns + column] =
                            switch kind {
                            case .ids: Number(id(row, column))
                            case .mask: 1
                            case .types: 0
                            case .positions: Number(column)
                            }
                    }
                }
            }
            if element == .int32 { fill(Int32.self) } else { fill(Int64.self) }
        }
    }
}
