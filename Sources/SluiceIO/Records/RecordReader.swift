/// Reads the records of an input into blocks, one after the other.
///
/// A record is a line of JSON, whatever the input holds: a reader of another format writes each of its records as one. The
/// blocks depend on the input and the limits alone, never on how the bytes arrive. A reader belongs to one thread at a time.
public protocol RecordReader: AnyObject {
    /// The unpacked bytes that it reads.
    var source: any ByteSource { get }
    /// The position in the unpacked input up to which blocks have been returned.
    var nextByte: UInt64 { get }
    /// The number of the first record not returned yet, counted from 1 in the whole input.
    var nextLine: UInt64 { get }
    /// What the numbers count, for messages: `lines`, `elements`.
    var unit: String { get }

    /// Fills the block with the next records, or with one long record while the caller has memory for it. The ends of
    /// blocks depend only on the input, not on `mayHold`.
    ///
    /// - Parameter mayHold: asked several times while a record longer than `FramingLimits.longRecord` is read, with growing
    ///   lengths up to `FramingLimits.maxRecord`. If it denies one, the result is `.waiting`: the reader keeps the part read
    ///   so far, at most the length allowed before, and the next call goes on with it.
    /// - Throws: the source's errors: damage after the complete records before it have been returned; what may pass, such as a
    ///   refused system call, at once, so that blocks end in the same places when the input is read again.
    func next(into block: RawBlock, mayHold: (_ length: Int) -> Bool) throws(IOFailure) -> ReadStep
}

/// The result of `RecordReader.next`.
public enum ReadStep: Sendable {
    case block
    case end
    /// Nothing is read until the caller has memory for a long record or a large zstd window.
    case waiting
}

/// A form in which inputs hold records.
public protocol RecordFormat: Sendable {
    /// What the format is called: part of a run's identity, since other formats make other records of the same bytes. Also
    /// names what changes the records, such as options.
    var name: String { get }

    /// The ranges in which an input can be read by itself, of about `target` bytes as stored: they follow from its content
    /// alone. A single `.whole` if it can't be cut.
    func ranges(of path: String, in store: any InputStore, target: UInt64) throws(IOFailure) -> [FileRange]

    /// Opens a range of an input, unpacked.
    func open(
        _ range: FileRange, of path: String, in store: any InputStore, options: InputOptions
    ) throws(IOFailure) -> any ByteSource

    /// A reader of what `open` has opened.
    ///
    /// - Parameter firstLine: the number of the first record that the range begins.
    func makeReader(_ source: any ByteSource, limits: FramingLimits, firstLine: UInt64) -> any RecordReader
}

/// JSON Lines and JSON arrays, plain or compressed with zstd or gzip.
public struct JSONRecords: RecordFormat {
    public init() {}

    public let name = "json"

    public func ranges(
        of path: String, in store: any InputStore, target: UInt64
    ) throws(IOFailure) -> [FileRange] {
        try store.inputRanges(of: path, target: target)
    }

    public func open(
        _ range: FileRange, of path: String, in store: any InputStore, options: InputOptions
    ) throws(IOFailure) -> any ByteSource {
        try store.openRange(range, of: path, options: options)
    }

    public func makeReader(
        _ source: any ByteSource, limits: FramingLimits, firstLine: UInt64
    ) -> any RecordReader {
        BlockReader(source, limits: limits, firstLine: firstLine)
    }
}
