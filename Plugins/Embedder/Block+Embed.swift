import SluiceCore
import SluiceGeometry

extension Block {
    /// Writes the vector of each record's text, and which texts are empty.
    ///
    /// - Parameter embed: writes the components of a text's vector, and returns whether the text has a word. If not, the
    ///   vector stays zero.
    mutating func embed(
        into columns: VectorColumns, dimension: Int,
        _ embed: (UnsafeBufferPointer<UInt8>, UnsafeMutablePointer<Int8>) -> Bool
    ) throws(StageError) {
        let text = try bytes(.text)
        var values = [Int8](repeating: 0, count: count * dimension)
        var empty = [Int64](repeating: 0, count: count)
        values.withUnsafeMutableBufferPointer { values in
            text.bytes.withUnsafeBufferPointer { bytes in
                guard let base = values.baseAddress else { return }
                for record in 0..<count where isLive(record) {
                    let range = (record == 0 ? 0 : text.ends[record - 1])..<text.ends[record]
                    if !embed(UnsafeBufferPointer(rebasing: bytes[range]), base + record * dimension) {
                        empty[record] = 1
                    }
                }
            }
        }
        write(columns.vectors, .vectors(VectorColumn(dimension: dimension, values: values)))
        if isWanted(columns.empty) { write(columns.empty, .integers(empty)) }
    }

    /// Marks texts of which only the beginning counts, if anybody wants to know.
    ///
    /// - Parameters:
    ///   - tokens: that count at most; a text with a quarter of so many bytes has no more.
    ///   - isCut: whether a text has more.
    mutating func markCuts(
        into columns: VectorColumns, tokens: Int, _ isCut: (UnsafeRawBufferPointer) -> Bool
    ) throws(StageError) {
        guard isWanted(columns.cut) else { return }
        let text = try bytes(.text)
        var cut = [Int64](repeating: 0, count: count)
        text.bytes.withUnsafeBytes { bytes in
            for record in 0..<count where isLive(record) {
                let range = (record == 0 ? 0 : text.ends[record - 1])..<text.ends[record]
                guard range.count > tokens / 4 else { continue }
                if isCut(UnsafeRawBufferPointer(rebasing: bytes[range])) { cut[record] = 1 }
            }
        }
        write(columns.cut, .integers(cut))
    }

    /// Writes vectors of integers, of any length.
    mutating func embedSums(
        into columns: VectorColumns, dimension: Int,
        _ sums: (UnsafeBufferPointer<UInt8>, UnsafeMutableBufferPointer<Int32>) -> Bool
    ) throws(StageError) {
        let quantizer = Quantizer(dimension: dimension)
        try withUnsafeTemporaryAllocation(of: Int32.self, capacity: dimension) { (components) throws(StageError) in
            guard let base = components.baseAddress else { return }
            try embed(into: columns, dimension: dimension) { text, vector in
                guard sums(text, components) else { return false }
                quantizer.quantize(sums: base, count: 1, into: vector)
                return true
            }
        }
    }
}
