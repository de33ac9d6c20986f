import Glibc
import SluiceCore

/// A small encoder as an ONNX file: a token's vector is the sum of rows of tables, one per input.
struct SmallOnnx {
    enum Head {
        /// The tokens' vectors as they are.
        case tokens
        /// The same in half precision.
        case halfTokens
        /// Divided by the largest number of the batch, as dynamic quantisation scales.
        case scaled
        /// Their mean.
        case pooled
    }

    static let columns = 16
    var inputs = ["input_ids", "attention_mask"]
    var head = Head.tokens
    var output = "last_hidden_state"
    /// Rows of the table of positions.
    var positions = 64
    var inputElement = 7
    /// Writes the shape of the output, or leaves it out.
    var statesShape = true
    /// The first rows of the table; the others are made up.
    var tokens = StaticTests.tokenCount
    var firstNumber: Float?

    /// The table of an input: numbers that half precision holds.
    func table(_ input: String) -> [Float] {
        let rows = input == "input_ids" ? tokens : input == "position_ids" ? positions : 2
        var numbers = StaticTests.numbers(rows, seed: UInt64(input.utf8.count)).map { $0 / 128 }
        if input == "input_ids", let firstNumber { numbers[Self.columns] = firstNumber }
        return numbers
    }

    /// `ModelProto` of onnx.proto3, IR version 8, operators of version 13.
    var bytes: [UInt8] {
        var graph = Proto()
        let summed = inputs.filter { $0 != "attention_mask" }
        for input in summed {
            graph.bytes(1, Self.node("Gather", ["\(input) table", input], "\(input) rows"))
            graph.bytes(5, tensor("\(input) table", table(input)))
        }
        var last = "\(summed.first ?? "") rows"
        for input in summed.dropFirst() {
            graph.bytes(1, Self.node("Add", [last, "\(input) rows"], "with \(input)"))
            last = "with \(input)"
        }
        switch head {
        case .tokens: graph.bytes(1, Self.node("Identity", [last], output))
        case .halfTokens: graph.bytes(1, Self.node("Cast", [last], output, Self.attribute("to", 10)))
        case .scaled:
            graph.bytes(1, Self.node("ReduceMax", [last], "largest", Self.attribute("keepdims", 0)))
            graph.bytes(1, Self.node("Div", [last, "largest"], output))
        case .pooled:
            graph.bytes(
                1,
                Self.node(
                    "ReduceMean", [last], output, Self.attribute("keepdims", 0), Self.attribute("axes", list: [1])))
        }
        graph.text(2, "small")
        for input in inputs { graph.bytes(11, Self.value(input, inputElement, ["batch", "sequence"])) }
        let shape = head == .pooled ? ["batch", "\(Self.columns)"] : ["batch", "sequence", "\(Self.columns)"]
        graph.bytes(12, Self.value(output, head == .halfTokens ? 10 : 1, statesShape ? shape : nil))
        var model = Proto()
        model.number(1, 8)
        model.bytes(7, graph.all)
        var operators = Proto()
        operators.number(2, 13)
        model.bytes(8, operators.all)
        return model.all
    }

    private static func node(
        _ type: String, _ inputs: [String], _ output: String, _ attributes: [UInt8]...
    ) -> [UInt8] {
        var node = Proto()
        for input in inputs { node.text(1, input) }
        node.text(2, output)
        node.text(4, type)
        for attribute in attributes { node.bytes(5, attribute) }
        return node.all
    }

    private static func attribute(_ name: String, _ value: Int) -> [UInt8] {
        var attribute = Proto()
        attribute.text(1, name)
        attribute.number(3, value)
        attribute.number(20, 2)
        return attribute.all
    }

    private static func attribute(_ name: String, list: [Int]) -> [UInt8] {
        var attribute = Proto()
        attribute.text(1, name)
        for value in list { attribute.number(8, value) }
        attribute.number(20, 7)
        return attribute.all
    }

    private func tensor(_ name: String, _ numbers: [Float]) -> [UInt8] {
        var tensor = Proto()
        tensor.number(1, numbers.count / Self.columns)
        tensor.number(1, Self.columns)
        tensor.number(2, 1)
        tensor.text(8, name)
        tensor.bytes(9, numbers.flatMap { little($0.bitPattern, 4) })
        return tensor.all
    }

    private static func value(_ name: String, _ element: Int, _ shape: [String]?) -> [UInt8] {
        var sizes = Proto()
        for size in shape ?? [] {
            var part = Proto()
            if let number = Int(size) { part.number(1, number) } else { part.text(2, size) }
            sizes.bytes(1, part.all)
        }
        var tensor = Proto()
        tensor.number(1, element)
        if shape != nil { tensor.bytes(2, sizes.all) }
        var type = Proto()
        type.bytes(1, tensor.all)
        var value = Proto()
        value.text(1, name)
        value.bytes(2, type.all)
        return value.all
    }
}

/// A message of Protocol Buffers that is being written.
struct Proto {
    private(set) var all: [UInt8] = []

    private mutating func varint(_ value: Int) {
        var rest = UInt64(bitPattern: Int64(value))
        while rest >= 0x80 {
            all.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        all.append(UInt8(rest))
    }

    mutating func number(_ field: Int, _ value: Int) {
        varint(field << 3)
        varint(value)
    }

    mutating func bytes(_ field: Int, _ value: [UInt8]) {
        varint(field << 3 | 2)
        varint(value.count)
        all += value
    }

    mutating func text(_ field: Int, _ value: String) { bytes(field, Array(value.utf8)) }
}

/// Folders of small ONNX models, in `/tmp`, removed with the last holder.
final class OnnxFolder {
    let path: String
    private var names: [String] = []
    private var folders: [String] = []

    init(_ model: SmallOnnx? = SmallOnnx(), tokenizer: String? = ModelFolder.tokenizer(StaticTests.words)) {
        var name = Array("/tmp/sluice-onnx-XXXXXX".utf8CString)
        path = mkdtemp(&name).map { String(cString: $0) } ?? "/tmp"
        if let model { write("model.onnx", model.bytes) }
        if let tokenizer { write("tokenizer.json", Array(tokenizer.utf8)) }
    }

    deinit {
        for name in names { unlink("\(path)/\(name)") }
        for name in folders.reversed() { rmdir("\(path)/\(name)") }
        rmdir(path)
    }

    func write(_ name: String, _ bytes: [UInt8]) {
        if let slash = name.lastIndex(of: "/"), !folders.contains(String(name[..<slash])) {
            folders.append(String(name[..<slash]))
            mkdir("\(path)/\(name[..<slash])", 0o755)
        }
        guard let file = fopen("\(path)/\(name)", "wb") else { return }
        defer { fclose(file) }
        fwrite(bytes, 1, bytes.count, file)
        names.append(name)
    }

    func write(_ name: String, _ text: String) { write(name, Array(text.utf8)) }

    func remove(_ name: String) { unlink("\(path)/\(name)") }
}
