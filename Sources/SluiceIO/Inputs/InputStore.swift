/// A place with inputs that are listed and read: the file system, an object store, a table of bytes in memory.
///
/// The engine reads inputs through a store alone, so another one needs no change in it. Everything above bytes is the same
/// for all stores: compression, ranges of a file, read-ahead, digests. A store must return the same bytes each time; a run
/// that finds others ends with an error. Any thread may call it.
public protocol InputStore: Sendable {
    /// The paths of the inputs that a pattern matches, in any order; none if there are none. Several patterns may match
    /// the same path.
    ///
    /// - Parameter pattern: the path of one input, or with `*`, `?`, `[…]` and `{…,…}` those of several.
    func inputs(matching pattern: String) throws(IOFailure) -> [String]

    /// What is known of an input before it is read; nil if there is none at that path.
    func status(ofInput path: String) throws(IOFailure) -> InputStatus?

    /// Opens an input.
    ///
    /// - Throws: `IOFailure` if there is none at that path, or it can't be read.
    func open(input path: String) throws(IOFailure) -> any InputFile

    /// The memory that an input takes while it is open beside what its reader takes, such as what it reads ahead, in bytes; 0
    /// unless said otherwise. Asked before anything is looked up.
    ///
    /// - Parameter pattern: as in `inputs(matching:)`.
    func openBytes(ofInputs pattern: String) -> Int
}

extension InputStore {
    public func openBytes(ofInputs pattern: String) -> Int { 0 }
}

/// What a store knows of an input without reading it.
public struct InputStatus: Sendable, Hashable {
    /// Bytes as stored; 0 if unknown.
    public var size: UInt64
    /// Changes whenever the content does: a time of change, an etag. For a quick check that an input is still the one that
    /// a stopped run has read; digests of its content decide.
    public var version: String
    /// Equal for two paths of the same input; nil if they can't be told apart. The same input is read once.
    public var identity: String?
    /// Whether it can be read only once, front to back: a pipe, a device.
    public var isStream: Bool
    /// Whether it is a folder, and can't be read at all.
    public var isFolder: Bool

    public init(
        size: UInt64, version: String, identity: String? = nil, isStream: Bool = false, isFolder: Bool = false
    ) {
        self.size = size
        self.version = version
        self.identity = identity
        self.isStream = isStream
        self.isFolder = isFolder
    }
}

/// An open input: its bytes as stored.
public protocol InputFile: Sendable {
    /// Its name in messages.
    var path: String { get }
    /// Bytes as stored; nil for a stream, whose size isn't known before its end.
    func size() throws(IOFailure) -> UInt64?

    /// The next bytes of the input, at least one unless it has ended; only one thread calls it.
    ///
    /// - Returns: the number of bytes; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int

    /// Reads from `offset` until `buffer` is full or the input ends. Several threads may call it at the same time. Not
    /// called for a stream.
    ///
    /// - Returns: the number of bytes.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int

    /// Whether `read(into:)` would return at once, asked of streams only.
    ///
    /// - Parameter milliseconds: how long to wait for that.
    func hasBytes(within milliseconds: Int32) -> Bool

    /// Whether its bytes are not packed, even if its name ends in `.zst` or `.gz`.
    var isPlain: Bool { get }

    /// Whether a few bytes anywhere cost about as much as those that follow: on a disk, not over a network.
    var seeksFreely: Bool { get }

    /// Says that these bytes will be read, from front to back, before they are.
    func willRead(_ range: Range<UInt64>)
}

extension InputFile {
    public func hasBytes(within milliseconds: Int32) -> Bool { true }
    public var isPlain: Bool { false }
    public var seeksFreely: Bool { true }
    public func willRead(_ range: Range<UInt64>) {}

    /// Fills an array, starting at `offset`; returns the number of bytes read.
    func read(into bytes: inout [UInt8], at offset: UInt64) throws(IOFailure) -> Int {
        // The closure can't throw a typed error through the array's method, so it returns the error.
        let result = bytes.withUnsafeMutableBytes { buffer -> Result<Int, IOFailure> in
            do throws(IOFailure) { return .success(try read(into: buffer, at: offset)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
