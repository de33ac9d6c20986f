import SluiceCore

/// A sorted section of rows to be merged. A row has two or three numbers; one of them is an ordinal.
struct RowSection {
    /// What the rows are.
    enum Kind {
        /// A hash and an ordinal.
        case hash
        /// An ordinal and the ordinal that it belongs to.
        case pair

        var words: Int { self == .hash ? 3 : 2 }
    }

    var path: String
    var label: SectionLabel
    var section: Int
    var kind: Kind
    /// Added to the ordinal of each row.
    var added: UInt64 = 0
    /// The ordinals, after that, which the section may have.
    var ordinals: Range<UInt64> = 0..<UInt64.max
}

extension SectionFileWriter {
    mutating func append(_ row: Triple, _ kind: RowSection.Kind) throws(IOFailure) {
        var words = (row.a.littleEndian, row.b.littleEndian, row.c.littleEndian)
        try withUnsafeBytes(of: &words) { bytes throws(IOFailure) in
            try append(UnsafeRawBufferPointer(rebasing: bytes[..<(kind.words * 8)]))
        }
        add(items: 1)
    }
}

/// A section and its next row.
private final class RowCursor: MergeSource {
    private let source: RowSection
    private let reader: SectionReader
    private(set) var head: Triple?
    /// All rows of the section.
    var count: UInt64 { reader.count }

    init(_ source: RowSection, fileSystem: FileSystem) throws(IOFailure) {
        self.source = source
        reader = try SectionReader(source.path, source.label, section: source.section, fileSystem: fileSystem)
        guard reader.remaining == reader.count &* UInt64(source.kind.words * 8) else {
            throw WorkFooter.broken(source.path, 0, "a section has another number of rows than its table says")
        }
        try advance()
    }

    func advance() throws(IOFailure) {
        guard reader.remaining > 0 else {
            head = nil
            return
        }
        let bytes = try reader.next(source.kind.words * 8)
        let isHash = source.kind == .hash
        let (ordinal, overflow) = bytes.word(isHash ? 2 : 0).addingReportingOverflow(source.added)
        guard !overflow, source.ordinals.contains(ordinal) else {
            throw WorkFooter.broken(source.path, 0, "it has a record that is outside of its part")
        }
        head =
            isHash
            ? Triple(a: bytes.word(0), b: bytes.word(1), c: ordinal) : Triple(a: ordinal, b: bytes.word(1), c: 0)
    }
}

/// Merges sorted sections of many files within a memory budget: if there are more than it has buffers for, some are
/// first merged into temporary files.
///
/// Memory: 18 KiB for each file that is open at a time, of which there are at most 256. Disk: the rows once more for
/// each such round; one round is enough for 65,536 sections.
final class RowMerge {
    /// A piece, the file and what its reader needs.
    private static let perSource = 18 << 10
    private var heap: MergeHeap<RowCursor>
    /// All rows, of all sections.
    let count: UInt64

    /// - Parameters:
    ///   - memory: the budget in bytes; at least two files are merged at a time.
    ///   - isStopped: asked often while temporary files are written.
    /// - Throws: `.stopped` if asked to stop.
    init(
        _ sections: [RowSection], memory: Int, scratch: ScratchFolder, fileSystem: FileSystem,
        isStopped: () -> Bool = { false }
    ) throws(IOFailure) {
        var rest = sections[...]
        let fanIn = MergeLimits.fanIn(memory: memory, perSource: Self.perSource)
        while rest.count > fanIn {
            let merged = try Self.merge(
                Array(rest.prefix(fanIn)), scratch: scratch, fileSystem: fileSystem, isStopped: isStopped)
            rest = rest.dropFirst(fanIn) + [merged]
        }
        (heap, count) = try Self.open(Array(rest), scratch, fileSystem)
    }

    /// Opens sections; removes the temporary files among them, which stay readable while they are open.
    private static func open(
        _ sections: [RowSection], _ scratch: ScratchFolder, _ fileSystem: FileSystem
    ) throws(IOFailure) -> (heap: MergeHeap<RowCursor>, count: UInt64) {
        var cursors: [RowCursor] = []
        var count: UInt64 = 0
        for section in sections {
            let cursor = try RowCursor(section, fileSystem: fileSystem)
            count += cursor.count
            if cursor.head != nil { cursors.append(cursor) }
            if scratch.holds(section.path) { try fileSystem.remove(section.path) }
        }
        return (MergeHeap(cursors), count)
    }

    private static func merge(
        _ sections: [RowSection], scratch: ScratchFolder, fileSystem: FileSystem, isStopped: () -> Bool
    ) throws(IOFailure) -> RowSection {
        let kind = sections[0].kind
        let path = try scratch.newFile()
        let label = SectionLabel(kind: "SLUICEs1", plan: sections[0].label.plan, number: 0, sections: 1)
        var writer = try SectionFileWriter(path, label, fileSystem: fileSystem)
        var heap = try open(sections, scratch, fileSystem).heap
        while let cursor = heap.first, let row = cursor.head {
            if writer.total % MergeLimits.rowsUntilCheck == 0 { try MergeLimits.check(isStopped, path) }
            try writer.append(row, kind)
            try cursor.advance()
            heap.settle()
        }
        try writer.finish()
        return RowSection(path: path, label: label, section: 0, kind: kind)
    }

    /// The next row; nil at the end.
    func next() throws(IOFailure) -> Triple? {
        guard let cursor = heap.first, let row = cursor.head else { return nil }
        try cursor.advance()
        heap.settle()
        return row
    }
}
