import Glibc
import SluiceCore
import SluiceGeometry

/// Takes each record's vector from a field of it: a list of numbers, or little-endian float32 in base64.
struct FieldEmbedding: Transform {
    let path: FieldPath
    let dimension: Int
    let missing: FileModel.Missing
    let columns: VectorColumns

    func memory(_ context: StageContext) -> TransformMemory { TransformMemory(perThread: dimension * 8, growth: 0) }

    func apply(to block: inout Block) throws(StageError) {
        let field = block.field(path)
        let quantizer = Quantizer(dimension: dimension)
        var values = [Int8](repeating: 0, count: block.count * dimension)
        var numbers: [Float] = []
        numbers.reserveCapacity(dimension)
        for record in 0..<block.count where block.isLive(record) {
            numbers.removeAll(keepingCapacity: true)
            switch field[record] {
            case .missing, .null:
                try block.miss(record, missing, "its field `\(path)` is missing")
                continue
            case .json(let bytes): try Self.read(list: bytes, into: &numbers, wrong(block.ordinals[record]))
            case .string(let bytes):
                guard let found = bytes.withUnsafeBufferPointer({ Base64.floats($0[...], reserving: dimension) }) else {
                    throw wrong(block.ordinals[record])(
                        "is neither a list of numbers nor base64 of whole float32 numbers")
                }
                numbers = found
            case .chat: throw wrong(block.ordinals[record])("is a chat")
            }
            guard numbers.count == dimension else {
                throw wrong(block.ordinals[record])("has \(numbers.count) numbers, and `dimensions` is \(dimension)")
            }
            let failure = values.withUnsafeMutableBufferPointer { output -> GeometryError? in
                guard let base = output.baseAddress else { return nil }
                do throws(GeometryError) {
                    try quantizer.quantize(numbers, count: 1, into: base + record * dimension)
                    return nil
                } catch { return error }
            }
            if failure != nil {
                throw wrong(block.ordinals[record])("has a number that is NaN, infinite or too large")
            }
        }
        block.write(values, dimension: dimension, into: columns)
    }

    /// The error about a record's field.
    private func wrong(_ ordinal: Ordinal) -> (String) -> StageError {
        { StageError(.invalidData, "the field `\(path)` \($0)", ordinal: ordinal) }
    }

    /// A list of numbers, in the spelling of JSON.
    private static func read(
        list bytes: ArraySlice<UInt8>, into numbers: inout [Float], _ wrong: (String) -> StageError
    ) throws(StageError) {
        let isList = bytes.withUnsafeBufferPointer { text -> Bool in
            guard let base = text.baseAddress, text.first == 0x5B, text.last == 0x5D else { return false }
            // Every number ends before the last byte, so reading one does not go beyond it.
            let start = UnsafeRawPointer(base).assumingMemoryBound(to: CChar.self)
            var place = 1
            func skipBlanks() { while [0x20, 0x09, 0x0A, 0x0D].contains(text[place]) { place += 1 } }
            skipBlanks()
            while place < text.count - 1 {
                guard text[place] == 0x2D || (0x30...0x39).contains(text[place]) else { return false }
                var end: UnsafeMutablePointer<CChar>?
                numbers.append(strtof(start + place, &end))
                guard let end, end > UnsafeMutablePointer(mutating: start + place) else { return false }
                place = UnsafePointer(end) - start
                skipBlanks()
                guard place == text.count - 1 || text[place] == 0x2C else { return false }
                if place < text.count - 1 {
                    place += 1
                    skipBlanks()
                }
            }
            return true
        }
        guard isList else { throw wrong("is no list of numbers") }
    }
}
