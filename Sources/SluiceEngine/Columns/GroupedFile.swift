import SluiceIO

/// Rows of fixed width, adjacent by section; within a section they keep the order in which they were added.
final class GroupedFile: @unchecked Sendable {
    // Written by one thread; later only read, and positioned reads are safe from every thread.
    private let file: OpenFile
    private let width: Int
    /// The buffers of all sections, one after another.
    private var buffers: [UInt8]
    private var filled: [Int32]
    /// The byte offset of the next flushed row of each section.
    private var cursors: [UInt64]
    private let bufferRows: Int

    /// Bytes per section in addition to the buffered rows.
    static let perSection = 12

    init(path: String, width: Int, sections: [Range<Int>], bufferBytes: Int, fileSystem: FileSystem) throws(IOFailure) {
        self.width = width
        file = try fileSystem.create(path)
        cursors = sections.map { UInt64($0.lowerBound * width) }
        let most = sections.map(\.count).max() ?? 1
        bufferRows = min(max(1, bufferBytes / max(1, sections.count) / max(1, width)), max(1, most), 1 << 20)
        filled = Array(repeating: 0, count: sections.count)
        buffers = Array(repeating: 0, count: sections.count * bufferRows * width)
    }

    /// - Parameter sections: the section of each row, negative if it has none.
    func append<T: BitwiseCopyable>(_ values: [T], sections: [Int32]) throws(IOFailure) {
        guard values.count * MemoryLayout<T>.stride == sections.count * width else {
            throw IOFailure(
                .wrongColumn, path: file.path,
                found:
                    "\(values.count) values of \(MemoryLayout<T>.stride) bytes are not \(sections.count) rows of \(width)"
            )
        }
        let result = values.withUnsafeBytes { bytes -> Result<Void, IOFailure> in
            do throws(IOFailure) {
                for (row, section) in sections.enumerated() where section >= 0 {
                    let section = Int(section)
                    buffers.withUnsafeMutableBytes { buffers in
                        let place = (section * bufferRows + Int(filled[section])) * width
                        UnsafeMutableRawBufferPointer(rebasing: buffers[place..<(place + width)])
                            .copyMemory(
                                from: UnsafeRawBufferPointer(rebasing: bytes[(row * width)..<((row + 1) * width)]))
                    }
                    filled[section] += 1
                    if Int(filled[section]) == bufferRows { try flush(section) }
                }
                return .success(())
            } catch { return .failure(error) }
        }
        try result.get()
    }

    private func flush(_ section: Int) throws(IOFailure) {
        let start = section * bufferRows * width
        let count = Int(filled[section]) * width
        let result = buffers.withUnsafeBytes { bytes -> Result<Void, IOFailure> in
            do throws(IOFailure) {
                let rows = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + count)])
                return .success(try file.write(rows, at: cursors[section]))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
        cursors[section] += UInt64(count)
        filled[section] = 0
    }

    func flush() throws(IOFailure) {
        for section in filled.indices where filled[section] > 0 { try flush(section) }
        (buffers, filled, cursors) = ([], [], [])
    }

    func read(_ rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) {
        let bytes = rows.count * width
        guard bytes > 0 else { return }
        guard buffer.count >= bytes else {
            throw IOFailure(.wrongColumn, path: file.path, found: "\(buffer.count) bytes can't hold \(bytes)")
        }
        let got = try file.read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<bytes]), at: UInt64(rows.lowerBound * width))
        guard got == bytes else {
            throw IOFailure(
                .corruptWorkFile, path: file.path, found: "it ends after \(got) of \(bytes) bytes")
        }
    }
}
