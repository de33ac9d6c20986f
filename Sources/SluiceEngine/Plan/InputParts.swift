import SluiceCore

/// The input cut into parts, each a run of whole files.
///
/// The limits follow from the names and stored sizes of the files alone, so they are the same for one process and for
/// many. A part is what one task reads. Shards of columns and frames of outputs end where a part ends: so the files that
/// tasks write for the parts, one after the other, are the files of the whole run.
package struct InputParts: Sendable {
    /// The files of each part, by their index in the catalog.
    package let files: [Range<Int>]

    /// A part ends with the first file with which it has this many stored bytes.
    package static let usualBytes = 128 << 20

    init(_ catalog: InputCatalog, bytes: Int) {
        var files: [Range<Int>] = []
        var (start, size) = (0, UInt64(0))
        for (index, file) in catalog.files.enumerated() {
            size += file.size
            guard size >= UInt64(bytes) || index + 1 == catalog.files.count else { continue }
            files.append(start..<(index + 1))
            (start, size) = (index + 1, 0)
        }
        self.files = files
    }

    package var count: Int { files.count }

    /// The part that a file is in.
    func index(of file: Int) -> Int {
        var (low, high) = (0, files.count)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if files[middle].lowerBound <= file { low = middle } else { high = middle }
        }
        return low
    }
}

/// Where a pass over the input is among the parts.
struct PartBorders {
    private let parts: InputParts
    private(set) var current: Int

    init(_ parts: InputParts, at file: Int) {
        self.parts = parts
        current = parts.index(of: file)
    }

    /// Whether a block of this file is the first one of another part.
    func isCrossed(by file: Int) -> Bool { !parts.files[current].contains(file) }

    mutating func cross(to file: Int) { current = parts.index(of: file) }
}
