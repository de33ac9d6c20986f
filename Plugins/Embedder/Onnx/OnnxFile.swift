import SluiceCore

/// What the file of an ONNX model says of itself: inputs, outputs, the size of its numbers. Read without a runtime.
///
/// The file is a message of Protocol Buffers, `ModelProto` of onnx.proto3. Only the fields that are needed are looked
/// at; all others are skipped by their length. The runtime checks the rest when it loads the model.
struct OnnxFile: Sendable {
    struct Value: Sendable, Hashable {
        let name: String
        /// The type's number in ONNX; 0 if the file does not say.
        let element: Int
        /// Nil if the file does not say; a part of it is nil if it differs from call to call.
        let shape: [Int?]?

        /// `last_hidden_state: float [?, ?, 384]`.
        var words: String {
            let type =
                switch element {
                case 1: "float"
                case 6: "int32"
                case 7: "int64"
                case 9: "bool"
                case 10: "float16"
                case 16: "bfloat16"
                default: "type \(element)"
                }
            let parts = shape.map { "[" + $0.map { $0.map(String.init) ?? "?" }.joined(separator: ", ") + "]" }
            return "`\(name)`: \(type) \(parts ?? "of unknown shape")"
        }
    }

    /// Those that a call must give.
    private(set) var inputs: [Value] = []
    private(set) var outputs: [Value] = []
    /// The numbers of all tensors.
    private(set) var numbers = 0
    /// The width of the layers: the greatest of the smaller sides of all matrices.
    private(set) var width = 0
    /// Files beside it with some of the numbers.
    private(set) var others: [String] = []
    private var stored: [String] = []

    /// - Throws: what is wrong with the bytes.
    init(_ bytes: UnsafeRawBufferPointer) throws(OnnxFault) {
        var hasGraph = false
        try ProtoFields(bytes).forEach { (field, value) throws(OnnxFault) in
            guard field == 7, case .bytes(let graph) = value else { return }
            hasGraph = true
            try read(graph: graph)
        }
        guard hasGraph else { throw OnnxFault("it has no graph") }
        inputs.removeAll { stored.contains($0.name) }
    }

    private mutating func read(graph: UnsafeRawBufferPointer) throws(OnnxFault) {
        try ProtoFields(graph).forEach { (field, value) throws(OnnxFault) in
            guard case .bytes(let part) = value else { return }
            switch field {
            case 1: try read(node: part)
            case 5: try read(tensor: part)
            case 11: inputs.append(try Self.value(part))
            case 12: outputs.append(try Self.value(part))
            default: break
            }
        }
    }

    /// Constants are nodes whose attribute is a tensor.
    private mutating func read(node: UnsafeRawBufferPointer) throws(OnnxFault) {
        try ProtoFields(node).forEach { (field, value) throws(OnnxFault) in
            guard field == 5, case .bytes(let attribute) = value else { return }
            try ProtoFields(attribute).forEach { (field, value) throws(OnnxFault) in
                guard field == 5, case .bytes(let tensor) = value else { return }
                try read(tensor: tensor)
            }
        }
    }

    private mutating func read(tensor: UnsafeRawBufferPointer) throws(OnnxFault) {
        var shape: [Int] = []
        try ProtoFields(tensor).forEach { (field, value) throws(OnnxFault) in
            switch (field, value) {
            case (1, .number(let size)): shape.append(Int(truncatingIfNeeded: size))
            case (1, .bytes(let packed)):
                var reader = ProtoReader(packed)
                while !reader.isAtEnd { shape.append(Int(truncatingIfNeeded: try reader.number())) }
            case (8, .bytes(let name)): stored.append(String(decoding: name, as: UTF8.self))
            case (13, .bytes(let entry)):
                let (key, text) = try Self.entry(entry)
                if key == "location", !others.contains(text) { others.append(text) }
            default: break
            }
        }
        var product = 1
        for size in shape {
            let (next, isTooLarge) = product.multipliedReportingOverflow(by: size)
            guard size >= 0, !isTooLarge, next < 1 << 44 else {
                throw OnnxFault("it is damaged: a tensor has the shape \(shape)")
            }
            product = next
        }
        numbers += product
        guard numbers < 1 << 44 else { throw OnnxFault("it is damaged: it states \(numbers) numbers") }
        if shape.count == 2 { width = max(width, min(shape[0], shape[1])) }
    }

    private static func entry(_ bytes: UnsafeRawBufferPointer) throws(OnnxFault) -> (key: String, value: String) {
        var found = ["", ""]
        try ProtoFields(bytes).forEach { (field, value) throws(OnnxFault) in
            guard case .bytes(let text) = value, 1...2 ~= field else { return }
            found[field - 1] = String(decoding: text, as: UTF8.self)
        }
        return (found[0], found[1])
    }

    /// `ValueInfoProto`: a name, and in its type the kind of numbers and the shape.
    private static func value(_ bytes: UnsafeRawBufferPointer) throws(OnnxFault) -> Value {
        var name = ""
        var element = 0
        var shape: [Int?]?
        try ProtoFields(bytes).forEach { (field, value) throws(OnnxFault) in
            guard case .bytes(let part) = value else { return }
            if field == 1 { name = String(decoding: part, as: UTF8.self) }
            guard field == 2 else { return }
            try ProtoFields(part).forEach { (field, value) throws(OnnxFault) in
                guard field == 1, case .bytes(let tensor) = value else { return }
                try ProtoFields(tensor).forEach { (field, value) throws(OnnxFault) in
                    switch (field, value) {
                    case (1, .number(let number)): element = Int(truncatingIfNeeded: number)
                    case (2, .bytes(let sizes)): shape = try Self.shape(sizes)
                    default: break
                    }
                }
            }
        }
        return Value(name: name, element: element, shape: shape)
    }

    private static func shape(_ bytes: UnsafeRawBufferPointer) throws(OnnxFault) -> [Int?] {
        var found: [Int?] = []
        try ProtoFields(bytes).forEach { (field, value) throws(OnnxFault) in
            guard field == 1, case .bytes(let size) = value else { return }
            var known: Int?
            try ProtoFields(size).forEach { (field, value) throws(OnnxFault) in
                if field == 1, case .number(let number) = value, number > 0 { known = Int(truncatingIfNeeded: number) }
            }
            found.append(known)
        }
        return found
    }
}

/// The fields of a message of Protocol Buffers, in their order.
private struct ProtoFields {
    enum Value {
        case number(UInt64)
        case bytes(UnsafeRawBufferPointer)
    }

    private let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    func forEach(_ body: (_ field: Int, _ value: Value) throws(OnnxFault) -> Void) throws(OnnxFault) {
        var reader = ProtoReader(bytes)
        while !reader.isAtEnd {
            let key = try reader.number()
            let field = Int(truncatingIfNeeded: key >> 3)
            guard 1..<1 << 29 ~= field else { throw OnnxFault("it is damaged: a field has the number \(field)") }
            switch key & 7 {
            case 0: try body(field, .number(try reader.number()))
            case 1: _ = try reader.bytes(8)
            case 2: try body(field, .bytes(try reader.bytes(try reader.number())))
            case 5: _ = try reader.bytes(4)
            default: throw OnnxFault("it is damaged: a field has the type \(key & 7)")
            }
        }
    }
}

private struct ProtoReader {
    private let bytes: UnsafeRawBufferPointer
    private var place = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { place == bytes.count }

    mutating func number() throws(OnnxFault) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard place < bytes.count else { throw OnnxFault("it is damaged: it ends within a number") }
            let byte = bytes[place]
            place += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw OnnxFault("it is damaged: a number has more than ten bytes")
    }

    mutating func bytes(_ count: UInt64) throws(OnnxFault) -> UnsafeRawBufferPointer {
        guard count <= UInt64(bytes.count - place) else {
            throw OnnxFault("it is damaged: \(count) bytes are announced, and \(bytes.count - place) are left")
        }
        let part = UnsafeRawBufferPointer(rebasing: bytes[place..<(place + Int(count))])
        place += Int(count)
        return part
    }
}
