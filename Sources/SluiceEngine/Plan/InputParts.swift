package import SluiceCore
package import SluiceIO

/// The input cut into parts: runs of whole files, and ranges of large ones.
///
/// The limits follow from the names, stored sizes and frames of the files alone, so they are the same for one process and
/// for many. A part is what one task reads. Shards of columns and frames of outputs end where a part ends: so the files
/// that tasks write for the parts, one after the other, are the files of the whole run.
package struct InputParts: Sendable {
    package struct Part: Sendable, Hashable {
        /// By their index in the catalog.
        package let files: Range<Int>
        /// The range of its only file; `.whole` if it has complete files.
        package let range: FileRange

        /// Whether it is a range of a file.
        var isCut: Bool { !range.isWhole }
    }

    package let all: [Part]

    /// A part ends with the first file, or frame, with which it has this many stored bytes.
    package static let usualBytes = 128 << 20
    /// Larger inputs are cut into larger parts, so that there are about this many: each process of a run knows all parts.
    private static let mostParts: UInt64 = 65_536
    /// The most ranges of one file, however large it is.
    private static let mostRanges: UInt64 = 4096

    /// Cost: reads the headers of all frames of files that are larger than a part; see `InputStore.inputRanges`.
    init(_ catalog: InputCatalog, _ format: any RecordFormat, bytes: Int) throws(EngineError) {
        let bytes = bytes == Self.usualBytes ? Self.usualBytes(for: catalog.totalSize) : bytes
        var parts: [Part] = []
        var (start, size) = (0, UInt64(0))
        func end(before file: Int) {
            if start < file { parts.append(Part(files: start..<file, range: .whole)) }
            (start, size) = (file, 0)
        }
        for (index, file) in catalog.files.enumerated() {
            let ranges = try Self.ranges(of: file, catalog.store, format, bytes: UInt64(max(1, bytes)))
            if ranges.count > 1 {
                end(before: index)
                parts += ranges.map { Part(files: index..<(index + 1), range: $0) }
                start = index + 1
                continue
            }
            size += file.size
            if size >= UInt64(bytes) { end(before: index + 1) }
        }
        end(before: catalog.files.count)
        all = parts
    }

    /// `usualBytes`, doubled until an input of this size has no more than `mostParts` parts.
    static func usualBytes(for total: UInt64) -> Int {
        var size = UInt64(usualBytes)
        while size * mostParts < total { size *= 2 }
        return Int(size)
    }

    private static func ranges(
        of file: InputCatalog.File, _ store: any InputStore, _ format: any RecordFormat, bytes: UInt64
    ) throws(EngineError) -> [FileRange] {
        // Two parts at least.
        guard file.size > bytes else { return [.whole] }
        do throws(IOFailure) {
            return try format.ranges(of: file.path, in: store, target: max(bytes, file.size / Self.mostRanges))
        } catch {
            throw EngineError(error)
        }
    }

    private init(all: [Part]) { self.all = all }

    /// Every file as a part of its own.
    static func wholeFiles(of catalog: InputCatalog) -> InputParts {
        InputParts(all: catalog.files.indices.map { Part(files: $0..<($0 + 1), range: .whole) })
    }

    package var count: Int { all.count }

    /// The first part that a file is in.
    func first(of file: Int) -> Int {
        var (low, high) = (0, all.count)
        while low < high {
            let middle = low + (high - low) / 2
            if all[middle].files.upperBound <= file { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The parts that a file is in: several if it is cut.
    func parts(of file: Int) -> Range<Int> {
        let first = first(of: file)
        var end = first
        while end < all.count, all[end].files.contains(file) { end += 1 }
        return first..<end
    }

    /// The earlier parts of the file of which a part is a range.
    func before(_ part: Int) -> Range<Int> {
        all[part].isCut ? first(of: all[part].files.lowerBound)..<part : part..<part
    }

    /// The files that are cut.
    var cutFiles: [Int] {
        all.filter { $0.isCut && $0.range.isFirst }.map(\.files.lowerBound)
    }

    /// The stored bytes of a part.
    func bytes(of part: Int, _ catalog: InputCatalog) -> Int {
        let part = all[part]
        return part.isCut
            ? part.range.stored.count : part.files.reduce(0) { $0 + Int(catalog.files[$1].size) }
    }
}

extension InputParts: ByteCodable {
    package func write(to bytes: inout ByteWriter) {
        bytes.write(all.count)
        for part in all {
            for number in [part.files.lowerBound, part.files.upperBound] { bytes.write(number) }
            bytes.write(part.isCut)
            guard part.isCut else { continue }
            for bound in [
                part.range.stored.lowerBound, part.range.stored.upperBound, part.range.content.lowerBound,
                part.range.content.upperBound, part.range.fileSize,
            ] { bytes.write(Int(bound)) }
        }
    }

    package init(from bytes: inout ByteReader) throws(StageError) {
        func bounds() throws(StageError) -> Range<UInt64> {
            let (low, high) = (try bytes.read(Int.self), try bytes.read(Int.self))
            guard low >= 0, low <= high else { throw ByteReader.damaged("a range is turned around") }
            return UInt64(low)..<UInt64(high)
        }
        var parts: [Part] = []
        for _ in 0..<max(0, try bytes.read(Int.self)) {
            let files = try bounds()
            let range =
                try bytes.read(Bool.self)
                ? FileRange(
                    stored: try bounds(), content: try bounds(), fileSize: UInt64(max(0, try bytes.read(Int.self))))
                : FileRange.whole
            parts.append(Part(files: Int(files.lowerBound)..<Int(files.upperBound), range: range))
        }
        all = parts
    }
}

/// Where a pass over the input is among the parts.
struct PartBorders {
    private(set) var current: Int

    init(at part: Int) { current = part }

    /// Whether a block of this part is the first one of another part.
    func isCrossed(by part: Int) -> Bool { part != current }

    mutating func cross(to part: Int) { current = part }
}
