/// A record's place in the input: the index of its file in the sorted file list, and its line there, from 1.
///
/// Everything is ordered by ordinal, and ties go to the lowest. The numbers change when the same lines are split into
/// other files; their order does not. So use the numbers in messages only, and key random draws by `ContentHash`.
public struct Ordinal: Sendable, Hashable, Comparable {
    /// File index in the upper 24 bits, line in the lower 40: one integer to store, compare and sort.
    public let rawValue: UInt64

    /// The most lines that a file may have; reading a longer file ends with an error.
    public static let maximumLine = (1 << 40) - 1
    public static let maximumFiles = 1 << 24

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable
    public init(file: Int, line: Int) {
        rawValue = UInt64(truncatingIfNeeded: file) << 40 | UInt64(truncatingIfNeeded: line)
    }

    /// Index of the file in the input's sorted file list, from 0.
    @inlinable public var file: Int { Int(rawValue >> 40) }
    /// Line in the file, from 1.
    @inlinable public var line: Int { Int(rawValue & 0xFF_FFFF_FFFF) }

    @inlinable
    public static func < (a: Ordinal, b: Ordinal) -> Bool { a.rawValue < b.rawValue }
}
