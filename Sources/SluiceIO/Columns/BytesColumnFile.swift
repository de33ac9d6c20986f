import CZstd

/// A finished bytes column, read by ranges of rows.
///
/// Opening it reads the headers of its blocks (16 bytes each); a range then unpacks only its own blocks. Several
/// threads may read at the same time.
public final class BytesColumnFile: Sendable {
    private struct Block: Sendable {
        let firstRow: Int
        let rows: Int
        let offset: UInt64
        let size: Int
        let content: Int
        /// Content of all previous blocks.
        let before: Int
    }

    private let file: OpenFile
    private let blocks: [Block]
    public let path: String
    public let rows: Int

    public init(_ path: String, fileSystem: FileSystem = .local) throws(IOFailure) {
        self.path = path
        file = try fileSystem.openForReading(path)
        let size = try file.status().size
        let header = UInt64(bytesHeader.count)
        guard size >= header + UInt64(WorkFooter.size) else {
            throw WorkFooter.broken(path, size, "it is too short for a column")
        }
        let footer = try WorkFooter.read(file, size: size)
        let end = size - UInt64(WorkFooter.size)
        var blocks: [Block] = []
        var at = header
        var row = 0
        var before = 0
        while at < end {
            var head = [UInt8](repeating: 0, count: 16)
            guard try file.read(into: &head, at: at) == 16 else {
                throw WorkFooter.broken(path, at, "a block's header is cut off")
            }
            let (packed, count, content) = head.withUnsafeBytes {
                (
                    Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))),
                    Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))),
                    Int(truncatingIfNeeded: UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
                )
            }
            guard count > 0, content >= 0, content < 1 << 33, at + 16 + UInt64(packed) <= end else {
                throw WorkFooter.broken(path, at, "a block's header is damaged")
            }
            blocks.append(
                Block(firstRow: row, rows: count, offset: at + 16, size: packed, content: content, before: before))
            row += count
            before += content
            at += 16 + UInt64(packed)
        }
        guard UInt64(row) == footer.count else {
            throw WorkFooter.broken(path, size, "it has \(row) rows, its footer states \(footer.count)")
        }
        self.blocks = blocks
        rows = row
    }

    /// Passes some rows, given in ascending order, to `body`. Blocks without any of them are not unpacked.
    ///
    /// Memory: one block in both forms; a row longer than a block has its own.
    public func forEach(_ rows: some Sequence<Int>, _ body: (UnsafeRawBufferPointer) -> Void) throws(IOFailure) {
        var next = rows.makeIterator()
        var row = next.next()
        while let first = row {
            guard let block = block(of: first) else {
                throw IOFailure(.wrongColumn, path: path, found: "it has no row \(first)")
            }
            let content = try unpack(block)
            let damaged = content.withUnsafeBytes { bytes -> Bool in
                var at = 0
                for number in block.firstRow..<(block.firstRow + block.rows) {
                    guard let wanted = row, wanted < block.firstRow + block.rows else { return false }
                    guard at + 4 <= bytes.count else { return true }
                    let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
                    guard at + 4 + length <= bytes.count else { return true }
                    if number == wanted {
                        body(UnsafeRawBufferPointer(rebasing: bytes[(at + 4)..<(at + 4 + length)]))
                        row = next.next()
                    }
                    at += 4 + length
                }
                return false
            }
            if damaged { throw WorkFooter.broken(path, block.offset, "a row ends past its block") }
        }
    }

    /// The approximate size of the rows before `row`: exact at the start of a block, interpolated inside one.
    public func bytes(before row: Int) -> Int {
        guard let block = block(of: row) else { return blocks.last.map { $0.before + $0.content } ?? 0 }
        return block.before + block.content * (row - block.firstRow) / block.rows
    }

    /// The rows with their own blocks: all rows longer than a block, and a few others.
    public var lonelyRows: [Int] { blocks.filter { $0.rows == 1 }.map(\.firstRow) }

    private func block(of row: Int) -> Block? {
        guard row >= 0, row < rows else { return nil }
        var (low, high) = (0, blocks.count)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if blocks[middle].firstRow <= row { low = middle } else { high = middle }
        }
        return blocks[low]
    }

    private func unpack(_ block: Block) throws(IOFailure) -> [UInt8] {
        var packed = [UInt8](repeating: 0, count: block.size)
        guard try file.read(into: &packed, at: block.offset) == block.size,
            packed.withUnsafeBytes({ ZSTD_getFrameContentSize($0.baseAddress, $0.count) }) == UInt64(block.content)
        else { throw WorkFooter.broken(path, block.offset, "a block is damaged") }
        var content = [UInt8](repeating: 0, count: block.content)
        let got = content.withUnsafeMutableBytes { out in
            packed.withUnsafeBytes { ZSTD_decompress(out.baseAddress, out.count, $0.baseAddress, $0.count) }
        }
        guard got == block.content else { throw WorkFooter.broken(path, block.offset, "a block can't be unpacked") }
        return content
    }
}
