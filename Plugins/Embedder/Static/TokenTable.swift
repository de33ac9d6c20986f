import SluiceCore
import SluiceGeometry

/// The vectors of tokens, read in place from a mapped file: one row per token, or per row that `mapping` names.
struct TokenTable: Sendable {
    private let file: MappedFile
    private let element: TableRows.Element
    /// The first byte of the table in the file.
    private let start: Int
    let rows: Int
    let columns: Int

    /// - Throws: if the tensor is no table of numbers that can be added.
    init(_ file: MappedFile, _ name: String, _ tensor: SafeTensors.Tensor) throws(StageError) {
        self.file = file
        switch tensor.kind {
        case .f32: element = .f32
        case .f16: element = .f16
        case .i8: element = .i8
        default: throw StaticModel.wrong("\(file.path): `\(name)` is \(tensor.words); it must be F32, F16 or I8")
        }
        guard tensor.shape.count == 2, tensor.shape[0] > 0, tensor.shape[1] > 0 else {
            throw StaticModel.wrong("\(file.path): `\(name)` is \(tensor.words); it must have a row per token")
        }
        start = tensor.range.lowerBound
        (rows, columns) = (tensor.shape[0], tensor.shape[1])
    }

    /// The first row with a NaN or an infinity; nil if all numbers are finite. Cost: a pass over the table.
    func firstNotFinite() -> Int? {
        guard let base = file.bytes.baseAddress else { return nil }
        for row in 0..<rows {
            let place = base + start + row * columns * element.bytes
            var faults: UInt32 = 0
            switch element {
            case .f32:
                for column in 0..<columns {
                    let bits = place.loadUnaligned(fromByteOffset: column * 4, as: UInt32.self) & 0x7F80_0000
                    faults |= bits == 0x7F80_0000 ? 1 : 0
                }
            case .f16:
                for column in 0..<columns {
                    let bits = place.loadUnaligned(fromByteOffset: column * 2, as: UInt16.self) & 0x7C00
                    faults |= bits == 0x7C00 ? 1 : 0
                }
            case .i8: return nil
            }
            if faults != 0 { return row }
        }
        return nil
    }

    /// Adds the first `dimension` columns of rows to `sums`, each row times its weight, in their order.
    func add(
        _ rows: UnsafePointer<UInt32>, _ weights: UnsafePointer<Float>, count: Int, dimension: Int,
        into sums: UnsafeMutablePointer<Float>
    ) {
        guard let base = file.bytes.baseAddress else { return }
        TableRows(element: element, columns: columns).add(
            base + start, rows: rows, weights: weights, count: count, dimension: dimension, into: sums)
    }
}
