import CVectorKernels
import SluiceCore

/// One implementation of the vector kernels. All give the same bits and differ only in speed.
///
/// The process starts with the fastest one that the machine supports, or with the one named by the environment variable
/// `SLUICE_KERNELS` (`portable`, `avx2`, `avx512vnni`, `neon`).
public struct KernelPath: Sendable, Hashable, CustomStringConvertible {
    let number: Int32

    public static let portable = KernelPath(number: 0)
    public static let avx2 = KernelPath(number: 1)
    public static let avx512vnni = KernelPath(number: 2)
    public static let neon = KernelPath(number: 3)

    /// The paths that this machine supports, slowest first.
    public static var available: [KernelPath] {
        (0..<4).map(KernelPath.init).filter { svk_path_kernels($0.number) != nil }
    }

    /// The path in use.
    public static var current: KernelPath { KernelPath(number: svk_current().pointee.path) }

    /// Selects this path for the whole process. For tests and benchmarks.
    /// - Returns: whether the machine supports it; if not, nothing changes.
    @discardableResult
    public func select() -> Bool { svk_select(number) != 0 }

    public var description: String {
        svk_path_kernels(number).map { String(cString: $0.pointee.name) } ?? "path \(number)"
    }
}

/// The kernels in use. Take them once per operation: a packed matrix is read by the path that packed it.
typealias Kernels = UnsafePointer<svk_kernels>

/// Rows per piece of parallel work, chosen so that their vectors fit the second-level cache. Fixed, although no result
/// depends on it.
let pieceRows = 2048

/// Memory of a number of trivial values, aligned for the kernels and zeroed.
///
/// @unchecked: pieces of parallel work write to disjoint parts without a lock; the owner must ensure that.
final class Buffer<Element: BitwiseCopyable>: @unchecked Sendable {
    let base: UnsafeMutablePointer<Element>
    let count: Int

    init(_ count: Int) {
        let bytes = max(1, count) * MemoryLayout<Element>.stride
        let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        base = raw.bindMemory(to: Element.self, capacity: max(1, count))
        self.count = count
    }

    convenience init(_ values: [Element]) {
        self.init(values.count)
        for (index, value) in values.enumerated() { base[index] = value }
    }

    convenience init(_ count: Int, repeating value: Element) {
        self.init(count)
        base.update(repeating: value, count: count)
    }

    deinit { UnsafeMutableRawPointer(base).deallocate() }

    subscript(index: Int) -> Element {
        get { base[index] }
        set { base[index] = newValue }
    }

    var array: [Element] { Array(UnsafeBufferPointer(start: base, count: count)) }
}

/// A pointer that pieces of parallel work share, each with its own part.
struct Shared<Element>: @unchecked Sendable {
    let base: UnsafeMutablePointer<Element>
    init(_ base: UnsafeMutablePointer<Element>) { self.base = base }
    init(_ buffer: Buffer<Element>) where Element: BitwiseCopyable { self.base = buffer.base }
}

/// Vectors packed as the columns of a matrix, for `nearest` and `products`.
///
/// @unchecked: written only in `init`.
final class Packed: @unchecked Sendable {
    let kernels: Kernels
    let count: Int
    let dimension: Int
    private let memory: Buffer<Int8>

    /// - Parameter norms: the vectors' squared norms; nil if only products are needed.
    init(_ vectors: UnsafePointer<Int8>, count: Int, dimension: Int, norms: UnsafePointer<Int32>?) {
        kernels = svk_current()
        self.count = count
        self.dimension = dimension
        memory = Buffer(svk_packed_bytes(count, dimension))
        kernels.pointee.pack(vectors, count, dimension, norms, memory.base)
    }

    /// For each row: the column with the least `|column|^2 - 2 row . column`, ties to the lowest, and that value; on
    /// request also the least value of the other columns, Int32.max if there are none.
    func nearest(
        _ rows: UnsafePointer<Int8>, select: UnsafePointer<UInt32>? = nil, count: Int,
        index: UnsafeMutablePointer<UInt32>, value: UnsafeMutablePointer<Int32>,
        second: UnsafeMutablePointer<Int32>? = nil
    ) {
        kernels.pointee.nearest(rows, select, count, memory.base, index, value, second)
    }

    /// All products of `count` rows with the columns: `out[row * stride + column]`.
    func products(_ rows: UnsafePointer<Int8>, count: Int, into out: UnsafeMutablePointer<Int32>, stride: Int) {
        kernels.pointee.products(rows, count, memory.base, out, stride)
    }
}

extension Parallel {
    /// Splits `0..<count` into pieces of `size` and runs them.
    func pieces(of count: Int, size: Int = pieceRows, _ body: @Sendable (Range<Int>) -> Void) {
        self((count + size - 1) / size) { piece in
            body(piece * size..<min(count, (piece + 1) * size))
        }
    }
}
