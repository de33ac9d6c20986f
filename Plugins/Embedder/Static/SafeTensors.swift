import SluiceCore

/// A file of tensors in the format `safetensors`, checked before use.
///
/// Layout: the length of a header (8 bytes, little-endian), the header in JSON, then the data. The header gives each
/// tensor's type, shape and place. As the format asks, tensors cover the data without gaps or overlaps.
struct SafeTensors {
    enum Kind: String {
        case f64 = "F64"
        case f32 = "F32"
        case f16 = "F16"
        case i64 = "I64"
        case i32 = "I32"
        case i8 = "I8"

        var bytes: Int {
            switch self {
            case .f64, .i64: 8
            case .f32, .i32: 4
            case .f16: 2
            case .i8: 1
            }
        }
    }

    struct Tensor {
        let type: String
        let shape: [Int]
        /// Of the file's bytes.
        let range: Range<Int>

        /// nil for a type that no static model has.
        var kind: Kind? { Kind(rawValue: type) }
        var words: String { "\(type) of shape [\(shape.map(String.init).joined(separator: ", "))]" }
    }

    /// More than any model's.
    private static let mostHeader = 16 << 20

    let tensors: [String: Tensor]

    /// - Throws: what is wrong, as a sentence without the file's name.
    init(_ bytes: UnsafeRawBufferPointer) throws(StageError) {
        guard bytes.count >= 10 else { throw Self.damaged("it has \(bytes.count) bytes, too few for a header") }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length >= 2, length <= Self.mostHeader, Int(length) <= bytes.count - 8 else {
            throw Self.damaged("its header would have \(length) bytes, of \(bytes.count - 8) in the file")
        }
        let start = 8 + Int(length)
        let header: JSONValue
        do { header = try JSONValue(json: Array(bytes[8..<start])) } catch {
            throw Self.damaged("its header is no JSON: \(error)")
        }
        guard case .object(let entries) = header else { throw Self.damaged("its header is no JSON object") }
        var found: [String: Tensor] = [:]
        for entry in entries where entry.key != "__metadata__" {
            guard found[entry.key] == nil else { throw Self.damaged("it has two tensors `\(entry.key)`") }
            found[entry.key] = try Self.tensor(entry.key, entry.value, start, bytes.count)
        }
        tensors = found
        try Self.checkPlaces(found, start, bytes.count)
    }

    private static func damaged(_ message: String) -> StageError {
        StageError(.invalidOption, "\(message); it is damaged, or no safetensors file")
    }

    private static func tensor(
        _ name: String, _ value: JSONValue, _ start: Int, _ end: Int
    ) throws(StageError) -> Tensor {
        let offsets = value["data_offsets"]?.elements.compactMap(\.integerValue) ?? []
        guard let type = value["dtype"]?.textValue, let dimensions = value["shape"]?.elements, offsets.count == 2,
            case let shape = dimensions.compactMap(\.integerValue), shape.count == dimensions.count,
            shape.allSatisfy({ $0 >= 0 })
        else { throw damaged("its tensor `\(name)` has no `dtype`, `shape` and `data_offsets`") }
        guard offsets[0] >= 0, offsets[0] <= offsets[1], offsets[1] <= end - start else {
            throw damaged(
                "its tensor `\(name)` lies at \(offsets[0]) to \(offsets[1]), outside of \(end - start) bytes of data")
        }
        let tensor = Tensor(type: type, shape: shape, range: (start + offsets[0])..<(start + offsets[1]))
        if let kind = tensor.kind {
            var size = kind.bytes
            for count in shape {
                let (product, isTooLarge) = size.multipliedReportingOverflow(by: count)
                size = isTooLarge ? -1 : product
                if size < 0 { break }
            }
            guard size == tensor.range.count else {
                throw damaged("its tensor `\(name)`, \(tensor.words), has \(tensor.range.count) bytes")
            }
        }
        return tensor
    }

    private static func checkPlaces(_ tensors: [String: Tensor], _ start: Int, _ end: Int) throws(StageError) {
        var place = start
        let sorted = tensors.sorted {
            ($0.value.range.lowerBound, $0.value.range.upperBound, $0.key)
                < ($1.value.range.lowerBound, $1.value.range.upperBound, $1.key)
        }
        for (name, tensor) in sorted {
            guard tensor.range.lowerBound == place else {
                let words = tensor.range.lowerBound < place ? "overlaps another one" : "comes after a gap"
                throw damaged("its tensor `\(name)` \(words)")
            }
            place = tensor.range.upperBound
        }
        guard place == end else { throw damaged("\(end - place) bytes after its tensors belong to none") }
    }
}
