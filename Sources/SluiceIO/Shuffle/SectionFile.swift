package import SluiceCore

/// What a file of sections is. A reader refuses a file with another label: one of another kind, plan or place.
package struct SectionLabel: Equatable {
    /// Eight characters: the kind of the file and its version.
    var kind: StaticString
    /// The digest of all that decides the file's content.
    var plan: ContentHash
    /// Which of the plan's files of this kind it is.
    var number: Int
    var sections: Int

    /// The file's first bytes.
    var bytes: [UInt8] {
        var bytes = kind.withUTF8Buffer { Array($0) }
        for word in [plan.high, plan.low, UInt64(number), UInt64(sections)] {
            withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    package init(kind: StaticString, plan: ContentHash, number: Int, sections: Int) {
        (self.kind, self.plan, self.number, self.sections) = (kind, plan, number, sections)
    }

    package static func == (a: SectionLabel, b: SectionLabel) -> Bool { a.bytes == b.bytes }
}

/// The layout of a file of sections: label, sections, a table with an entry for each, `WorkFooter`.
///
/// A section is a row of pieces; all but the last have the same size. A piece ends in a checksum. So a reader of one
/// section reads and verifies nothing else, and finds damage before any byte of the piece is used. The checksums of
/// pieces and entries depend on the label and the place in the file: a piece that stands elsewhere is damage, too. The
/// footer has the number of items in all sections and the checksum of the label.
enum SectionLayout {
    /// The content of a piece: a multiple of the sizes of all rows, so that no row is in two pieces.
    static let contentBytes = 16_368
    static let checkBytes = 8
    static let pieceBytes = contentBytes + checkBytes
    static let labelBytes = 40
    static let entryBytes = 32

    /// The checksum of a piece or entry at this place of a file.
    static func check(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ label: UInt64) -> UInt64 {
        XXHash.hash64(bytes, seed: label &+ offset)
    }

    /// The bytes of content in pieces of this total size; nil if no pieces have it.
    static func content(of stored: UInt64) -> UInt64? {
        let (whole, rest) = stored.quotientAndRemainder(dividingBy: UInt64(pieceBytes))
        if rest == 0 { return whole * UInt64(contentBytes) }
        return rest > UInt64(checkBytes) ? whole * UInt64(contentBytes) + rest - UInt64(checkBytes) : nil
    }
}

/// An entry of the table: where a section stands.
private struct SectionEntry {
    var start: UInt64
    var end: UInt64
    var count: UInt64

    func write(to file: borrowing AtomicFile, at offset: UInt64, _ label: UInt64) throws(IOFailure) {
        var words = (start.littleEndian, end.littleEndian, count.littleEndian, UInt64(0))
        words.3 =
            withUnsafeBytes(of: &words) {
                SectionLayout.check(UnsafeRawBufferPointer(rebasing: $0[..<24]), at: offset, label)
            }.littleEndian
        try withUnsafeBytes(of: &words) { bytes throws(IOFailure) in try file.write(bytes) }
    }

    /// - Returns: nil if it is damaged.
    static func read(
        _ file: borrowing OpenFile, at offset: UInt64, _ label: UInt64
    ) throws(IOFailure) -> SectionEntry? {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        let got = try withUnsafeMutableBytes(of: &words) { buffer throws(IOFailure) in
            try file.read(into: buffer, at: offset)
        }
        let check = withUnsafeBytes(of: &words) {
            SectionLayout.check(UnsafeRawBufferPointer(rebasing: $0[..<24]), at: offset, label)
        }
        guard got == SectionLayout.entryBytes, UInt64(littleEndian: words.3) == check else { return nil }
        return SectionEntry(
            start: UInt64(littleEndian: words.0), end: UInt64(littleEndian: words.1),
            count: UInt64(littleEndian: words.2))
    }
}

/// Writes a file of sections. `finish()` gives the complete file its name.
///
/// Memory: a piece, and 24 bytes for each section.
package struct SectionFileWriter: ~Copyable, WorkOutput {
    private let file: AtomicFile
    private let label: SectionLabel
    private let labelHash: UInt64
    private let piece = Scratch(SectionLayout.pieceBytes)
    private var used = 0
    /// The place in the file of the open piece.
    private var offset = UInt64(SectionLayout.labelBytes)
    private var start = UInt64(SectionLayout.labelBytes)
    private var count: UInt64 = 0
    private var entries: [SectionEntry] = []
    private(set) var total: UInt64 = 0

    package init(_ path: String, _ label: SectionLabel, fileSystem: FileSystem) throws(IOFailure) {
        self.label = label
        let bytes = label.bytes
        labelHash = bytes.withUnsafeBytes { XXHash.hash64($0) }
        let made = try AtomicFile(path, fileSystem: fileSystem)
        try made.write(bytes)
        file = made
    }

    /// The section that is being written.
    var section: Int { entries.count }

    package mutating func append(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) {
        var rest = bytes
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(SectionLayout.contentBytes - used))
            UnsafeMutableRawBufferPointer(rebasing: piece.bytes[used...]).copyMemory(from: part)
            used += part.count
            rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
            if used == SectionLayout.contentBytes { try endPiece() }
        }
    }

    mutating func add(items: Int) {
        count += UInt64(items)
        total += UInt64(items)
    }

    private mutating func endPiece() throws(IOFailure) {
        guard used > 0 else { return }
        let check = SectionLayout.check(UnsafeRawBufferPointer(rebasing: piece.bytes[..<used]), at: offset, labelHash)
        piece.bytes.storeBytes(of: check.littleEndian, toByteOffset: used, as: UInt64.self)
        used += SectionLayout.checkBytes
        try file.write(UnsafeRawBufferPointer(rebasing: piece.bytes[..<used]))
        offset += UInt64(used)
        used = 0
    }

    /// Ends sections until this one is being written.
    package mutating func begin(section: Int) throws(IOFailure) {
        while entries.count < section {
            try endPiece()
            entries.append(SectionEntry(start: start, end: offset, count: count))
            start = offset
            count = 0
        }
    }

    /// Ends all sections.
    package consuming func finish() throws(IOFailure) {
        try begin(section: label.sections)
        for entry in entries {
            try entry.write(to: file, at: offset, labelHash)
            offset += UInt64(SectionLayout.entryBytes)
        }
        let footer = WorkFooter(count: total, checksum: labelHash)
        try footer.withBytes { bytes throws(IOFailure) in try file.write(bytes) }
        try file.commit()
    }
}

/// Reads one section of a file; verifies each piece before it returns any byte of it.
///
/// Memory: a piece, or a smaller section. Opening reads 104 bytes.
package final class SectionReader: WorkInput {
    private let file: OpenFile
    private let labelHash: UInt64
    /// The number of items in the section.
    let count: UInt64
    /// The verified bytes that are not yet used: `start ..< end` of the buffer.
    private let memory: Scratch
    private var start = 0
    private var end = 0
    /// The next piece, and the end of the section.
    private var offset: UInt64
    private let sectionEnd: UInt64
    /// Bytes of items still to be read.
    package private(set) var remaining: UInt64
    var path: String { file.path }

    package init(_ path: String, _ label: SectionLabel, section: Int, fileSystem: FileSystem) throws(IOFailure) {
        file = try fileSystem.openForReading(path)
        let table = try Self.table(file, label)
        labelHash = table.labelHash
        let at = table.offset + UInt64(section * SectionLayout.entryBytes)
        guard let entry = try SectionEntry.read(file, at: at, labelHash) else {
            throw WorkFooter.broken(path, at, "an entry of its table is damaged")
        }
        guard entry.start >= UInt64(SectionLayout.labelBytes), entry.start <= entry.end, entry.end <= table.offset,
            let content = SectionLayout.content(of: entry.end - entry.start)
        else { throw WorkFooter.broken(path, at, "an entry of its table doesn't fit the file") }
        count = entry.count
        remaining = content
        offset = entry.start
        sectionEnd = entry.end
        memory = Scratch(Int(min(UInt64(SectionLayout.pieceBytes), entry.end - entry.start)))
    }

    /// Verifies the label and the footer.
    private static func table(
        _ file: borrowing OpenFile, _ label: SectionLabel
    ) throws(IOFailure) -> (offset: UInt64, labelHash: UInt64) {
        let size = try file.status().size
        let expected = label.bytes
        let hash = expected.withUnsafeBytes { XXHash.hash64($0) }
        let tableBytes = UInt64(label.sections * SectionLayout.entryBytes)
        let footer = try WorkFooter.read(file, size: size)
        var found = [UInt8](repeating: 0, count: expected.count)
        guard try file.read(into: &found, at: 0) == found.count, found.prefix(8) == expected.prefix(8) else {
            throw WorkFooter.broken(file.path, 0, "its header has another kind or version")
        }
        guard found == expected, footer.checksum == hash else {
            throw WorkFooter.broken(file.path, 8, "it is of another plan, or it is another part or bucket of this one")
        }
        guard size >= UInt64(SectionLayout.labelBytes + WorkFooter.size) + tableBytes else {
            throw WorkFooter.broken(file.path, size, "it is too short")
        }
        return (size - UInt64(WorkFooter.size) - tableBytes, hash)
    }

    /// Whether a file has this label and is complete; not whether its sections are undamaged.
    static func isComplete(_ path: String, _ label: SectionLabel, fileSystem: FileSystem) throws(IOFailure) -> Bool {
        guard try fileSystem.status(of: path) != nil else { return false }
        do throws(IOFailure) {
            _ = try table(fileSystem.openForReading(path), label)
            return true
        } catch {
            if error.code == .corruptWorkFile { return false }
            throw error
        }
    }

    func isAtEnd() throws(IOFailure) -> Bool { remaining == 0 }

    package func next(_ count: Int) throws(IOFailure) -> UnsafeRawBufferPointer {
        guard UInt64(count) <= remaining else { throw WorkFooter.broken(path, offset, "it ends inside an item") }
        while end - start < count { try readPiece() }
        defer {
            start += count
            remaining -= UInt64(count)
        }
        return UnsafeRawBufferPointer(rebasing: memory.bytes[start..<(start + count)])
    }

    private func readPiece() throws(IOFailure) {
        let kept = end - start
        if kept > 0, start > 0 {
            memory.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory.bytes[start..<end]))
        }
        (start, end) = (0, kept)
        let size = Int(min(UInt64(SectionLayout.pieceBytes), sectionEnd - offset))
        guard size > SectionLayout.checkBytes else {
            throw WorkFooter.broken(path, offset, "a section ends too early")
        }
        memory.grow(to: kept + size, keeping: kept)
        let piece = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[kept..<(kept + size)])
        let got = try file.read(into: piece, at: offset)
        let content = UnsafeRawBufferPointer(rebasing: piece[..<(size - SectionLayout.checkBytes)])
        let check = piece.loadUnaligned(fromByteOffset: content.count, as: UInt64.self)
        guard got == size, UInt64(littleEndian: check) == SectionLayout.check(content, at: offset, labelHash) else {
            throw WorkFooter.broken(path, offset, "a checksum is wrong")
        }
        offset += UInt64(size)
        end = kept + content.count
    }
}
