import Glibc
import SluiceCore
@testable import SluiceEngine
@testable import SluiceIO

/// Work files: readers recognise damaged ones, and never crash.
func fuzzWorkFiles(_ input: UnsafeRawBufferPointer) {
    var reader = Reader(rest: input)
    let kind = reader.byte() % 9
    let mode = reader.byte()
    var bytes = Array(reader.rest)
    // Adds a valid checksum, so that the code after the check is reached, too.
    if mode % 2 == 1 {
        switch kind {
        case 0...2: seal(&bytes, from: 128, count: mode / 2)
        case 3...6: seal(&bytes, from: 0, count: mode / 2)
        case 8:
            let checksum = bytes.withUnsafeBytes { XXHash.hash64($0) }
            withUnsafeBytes(of: checksum.littleEndian) { bytes += $0 }
        default: break
        }
    }
    bytes.withUnsafeBytes { bytes in
        withFile(bytes) { path in
            do { try read(path, kind) } catch {
                check(error is IOFailure || error is EngineError, "\(type(of: error)): \(error)")
            }
        }
    }
}

/// Adds a footer with a valid checksum.
private func seal(_ bytes: inout [UInt8], from start: Int, count: Int) {
    guard bytes.count >= start else { return }
    let checksum = bytes.withUnsafeBytes { XXHash.hash64(UnsafeRawBufferPointer(rebasing: $0[start...])) }
    try? WorkFooter(count: UInt64(count), checksum: checksum).withBytes { bytes += $0 }
}

private func read(_ path: String, _ kind: Int) throws {
    switch kind {
    case 0: try npy(path, Int8.self)
    case 1: try npy(path, Int64.self)
    case 2: try npy(path, Double.self)
    case 3:
        let column = try BytesColumnReader(path)
        var rows: UInt64 = 0
        while try column.next({ _ in rows += 1 }) {}
        check(rows == column.rows, "\(rows) rows of \(column.rows)")
    case 4:
        let column = try BytesColumnFile(path)
        var rows = 0
        try column.forEach(0..<column.rows) { _ in rows += 1 }
        check(rows == column.rows, "\(rows) rows of \(column.rows)")
    case 5:
        let duplicates = try DuplicateStream(path)
        while try duplicates.next() != nil {}
    case 6:
        let merge = try LedgerMerge([path], fileSystem: .local)
        while try merge.takeEntry({ _ in }) {}
    case 7:
        let file = try ZstdSeekableReader(path)
        var bytes: [UInt8] = []
        for frame in 0..<min(100, file.frameCount) where file.contentRange(frame).count < 1 << 20 {
            try file.read(frame: frame, into: &bytes)
        }
        _ = file.frame(holding: file.contentSize / 2)
    default:
        _ = try SealedFiles(fileSystem: .local, plan: nil).read(Checkpoint.self, from: path)
    }
}

private func npy<Element: NpyElement>(_ path: String, _: Element.Type) throws {
    let column = try NpyReader<Element>(path)
    guard column.rows > 0, column.width > 0 else { return }
    _ = try column.read(rows: max(0, column.rows - 3)..<column.rows)
}
