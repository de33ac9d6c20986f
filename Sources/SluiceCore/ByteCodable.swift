/// A value that can be written as bytes and read again: what a task hands to later ones, perhaps on another machine.
///
/// Both directions name the same parts in the same order:
///
/// ```swift
/// struct Sum: ByteCodable {
///     var count = 0
///     var total: Int64 = 0
///
///     func write(to bytes: inout ByteWriter) {
///         bytes.write(count)
///         bytes.write(total)
///     }
///
///     init(from bytes: inout ByteReader) throws(StageError) {
///         count = try bytes.read()
///         total = try bytes.read()
///     }
/// }
/// ```
///
/// Integers, `Double`, `Bool`, `String`, and optionals and arrays of such values conform. The bytes are the same on every
/// machine: integers are little-endian, an `Int` takes 8 bytes, a `Double` is its bit pattern. They need not be readable by
/// another version of the program. The contract kit checks that what is read equals what was written.
public protocol ByteCodable {
    func write(to bytes: inout ByteWriter)

    /// - Throws: `StageError` with code `.invalidData` for bytes that `write` can't have made.
    init(from bytes: inout ByteReader) throws(StageError)

    /// Writes the elements of an array, without their number. By default one after the other.
    static func write(_ values: [Self], to bytes: inout ByteWriter)

    /// Reads so many elements.
    static func read(count: Int, from bytes: inout ByteReader) throws(StageError) -> [Self]
}

extension ByteCodable {
    public static func write(_ values: [Self], to bytes: inout ByteWriter) {
        for value in values { value.write(to: &bytes) }
    }

    public static func read(count: Int, from bytes: inout ByteReader) throws(StageError) -> [Self] {
        var values: [Self] = []
        // A false count must end at the end of the bytes, not with the memory of the machine.
        values.reserveCapacity(min(count, 1 << 16))
        for _ in 0..<count { values.append(try Self(from: &bytes)) }
        return values
    }
}

/// Collects the bytes of values.
public struct ByteWriter {
    private var pending: [UInt8] = []
    private let handOver: ((UnsafeRawBufferPointer) -> Void)?
    private static let most = 256 << 10

    /// Collects all bytes in memory.
    public init() { handOver = nil }

    /// Hands bytes over as they come, so that a large value is never in memory twice. Call `flush` at the end.
    public init(handingOver handOver: @escaping (UnsafeRawBufferPointer) -> Void) { self.handOver = handOver }

    /// The bytes collected, without those handed over.
    public var bytes: [UInt8] { pending }

    public mutating func write(_ value: some ByteCodable) { value.write(to: &self) }

    public mutating func write(_ raw: UnsafeRawBufferPointer) {
        guard let handOver else {
            pending.append(contentsOf: raw)
            return
        }
        if pending.count + raw.count > Self.most { flush() }
        if raw.count > Self.most { handOver(raw) } else { pending.append(contentsOf: raw) }
    }

    public mutating func flush() {
        guard let handOver, !pending.isEmpty else { return }
        pending.withUnsafeBytes(handOver)
        pending.removeAll(keepingCapacity: true)
    }
}

/// Reads values from bytes.
public struct ByteReader {
    private var chunk: [UInt8]
    private var at = 0
    private let more: (() throws(StageError) -> [UInt8])?

    public init(_ bytes: [UInt8]) {
        chunk = bytes
        more = nil
    }

    /// - Parameter more: the next bytes, in pieces of any size; none at the end.
    public init(pulling more: @escaping () throws(StageError) -> [UInt8]) {
        chunk = []
        self.more = more
    }

    public mutating func read<Value: ByteCodable>(_ type: Value.Type = Value.self) throws(StageError) -> Value {
        try Value(from: &self)
    }

    /// Fills a buffer with the next bytes.
    public mutating func read(into buffer: UnsafeMutableRawBufferPointer) throws(StageError) {
        var filled = 0
        while filled < buffer.count {
            if at == chunk.count { try refill() }
            let count = min(chunk.count - at, buffer.count - filled)
            UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(filled + count)]).copyBytes(
                from: chunk[at..<(at + count)])
            at += count
            filled += count
        }
    }

    private mutating func refill() throws(StageError) {
        chunk = try more?() ?? []
        at = 0
        if chunk.isEmpty { throw Self.damaged("the bytes end within a value") }
    }

    /// Whether bytes are left.
    public mutating func hasMore() throws(StageError) -> Bool {
        if at == chunk.count {
            chunk = try more?() ?? []
            at = 0
        }
        return at < chunk.count
    }

    /// - Throws: `StageError` if bytes are left.
    public mutating func expectEnd() throws(StageError) {
        if try hasMore() { throw Self.damaged("bytes are left after the value") }
    }

    /// The error for bytes that no value has written.
    public static func damaged(_ what: String) -> StageError { StageError(.invalidData, what) }
}

extension ByteCodable {
    /// The value as bytes.
    public var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.write(self)
        return writer.bytes
    }

    /// Reads a value from all of `bytes`.
    public init(decoding bytes: [UInt8]) throws(StageError) {
        var reader = ByteReader(bytes)
        self = try reader.read()
        try reader.expectEnd()
    }
}
