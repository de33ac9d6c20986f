import CVectorKernels

/// Weighted sums of rows of a table of floats, as models have it: of single or half precision or of Int8.
public struct TableRows: Sendable {
    /// The numbers of a table. Half precision must have neither infinities nor NaN.
    public enum Element: Sendable, Hashable {
        case f32, f16, i8

        public var bytes: Int {
            switch self {
            case .f32: 4
            case .f16: 2
            case .i8: 1
            }
        }

        var kind: Int32 {
            switch self {
            case .f32: Int32(SVK_F32)
            case .f16: Int32(SVK_F16)
            case .i8: Int32(SVK_I8)
            }
        }
    }

    public let element: Element
    /// Numbers of a row.
    public let columns: Int

    public init(element: Element, columns: Int) { (self.element, self.columns) = (element, columns) }

    /// `sums[j] += weights[t] · table[rows[t]][j]` in single precision, for `t` from 0 to `count - 1` in this order.
    ///
    /// Each column has a sum of its own, and a product is rounded before it is added, so every machine gives the same
    /// bits. Cost: one read of each row.
    ///
    /// - Parameters:
    ///   - table: rows one after the other, at any address; every row named must be in it.
    ///   - dimension: the columns to add, from the first on; at most `columns`.
    public func add(
        _ table: UnsafeRawPointer, rows: UnsafePointer<UInt32>, weights: UnsafePointer<Float>, count: Int,
        dimension: Int, into sums: UnsafeMutablePointer<Float>
    ) {
        svk_current().pointee.add_rows(
            element.kind, table, columns * element.bytes, rows, weights, count, dimension, sums)
    }
}
