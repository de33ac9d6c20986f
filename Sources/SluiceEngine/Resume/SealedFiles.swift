import SluiceCore
import SluiceIO

/// Work files that hold one value each, sealed: with what run and what name they are for, and a checksum.
///
/// A file that was damaged, renamed or copied from another run is refused before any of it is used.
struct SealedFiles: Sendable {
    let fileSystem: FileSystem
    /// The digest of the run's plan; nil to read files without asking which run's they are.
    let plan: ContentHash?

    /// The bytes after the value: the mark of run and name, and the checksum of all before it.
    private static let sealBytes = 24

    private func mark(_ path: String) -> [UInt8] {
        var bytes = (plan ?? ContentHash(high: 0, low: 0)).encoded
        bytes += Array(Path.name(of: path).utf8)
        return bytes.withUnsafeBytes { XXHash.hash128($0) }.encoded
    }

    /// Writes a value, completely or not at all, without a second copy of it in memory.
    func write(_ value: some ByteCodable, to path: String) throws(IOFailure) {
        let file = SealedOutput(try AtomicFile(path, fileSystem: fileSystem))
        var writer = ByteWriter { file.write($0) }
        writer.write(value)
        writer.flush()
        mark(path).withUnsafeBytes { file.write($0) }
        try file.finish()
    }

    /// The value of a file; nil if there is no such file.
    ///
    /// - Throws: `IOFailure` with code `.corruptWorkFile` if the seal doesn't fit. Nothing of the file is used before all
    ///   of it has been checked.
    func read<Value: ByteCodable>(_ type: Value.Type = Value.self, from path: String) throws(IOFailure) -> Value? {
        guard let input = try open(path) else { return nil }
        do throws(StageError) {
            var reader = ByteReader { () throws(StageError) in
                do throws(IOFailure) { return try input.next() } catch {
                    input.failure = error
                    throw StageError(.invalidData, error.description)
                }
            }
            let value = try reader.read(Value.self)
            try reader.expectEnd()
            return value
        } catch {
            throw input.failure ?? IOFailure(.corruptWorkFile, path: path, found: error.message)
        }
    }

    /// Whether there is a file of this run and name that is as it was written.
    func isWhole(_ path: String) throws(IOFailure) -> Bool {
        do throws(IOFailure) {
            return try open(path) != nil
        } catch {
            guard error.code == .corruptWorkFile else { throw error }
            return false
        }
    }

    /// A file whose seal fits; nil if there is none.
    private func open(_ path: String) throws(IOFailure) -> SealedInput? {
        guard try fileSystem.status(of: path) != nil else { return nil }
        let file = try fileSystem.openForReading(path)
        let size = try file.status().size
        guard size >= Self.sealBytes else { throw Self.damaged(path) }
        let input = SealedInput(file, path: path, end: size - UInt64(Self.sealBytes))
        try check(input)
        return input
    }

    private func check(_ input: SealedInput) throws(IOFailure) {
        var sum = XXHashStream()
        while case let piece = try input.next(), !piece.isEmpty { piece.withUnsafeBytes { sum.update($0) } }
        let found = try input.rest(16)
        found.withUnsafeBytes { sum.update($0) }
        guard try input.rest(8) == sum.digest64.encoded else { throw Self.damaged(input.path) }
        guard plan == nil || found == mark(input.path) else {
            throw IOFailure(.corruptWorkFile, path: input.path, found: "this work file belongs to another run")
        }
        input.rewind()
    }

    private static func damaged(_ path: String) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path, found: "this work file is damaged")
    }
}

/// A file that is being sealed. Errors wait until the end, since a value can't throw while it is written.
private final class SealedOutput {
    private var file: AtomicFile?
    private var sum = XXHashStream()
    private var failure: IOFailure?

    init(_ file: consuming AtomicFile) { self.file = consume file }

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard failure == nil else { return }
        sum.update(bytes)
        do throws(IOFailure) { try file?.write(bytes) } catch { failure = error }
    }

    func finish() throws(IOFailure) {
        if let failure { throw failure }
        guard let file = file.take() else { return }
        try file.write(sum.digest64.encoded)
        try file.commit()
    }
}

/// The bytes of a sealed file, in pieces.
private final class SealedInput {
    private let file: OpenFile
    let path: String
    private let end: UInt64
    private var at: UInt64 = 0
    /// Why the bytes of a value could not be read.
    var failure: IOFailure?
    private static let pieceBytes = 256 << 10

    init(_ file: consuming OpenFile, path: String, end: UInt64) {
        self.file = file
        self.path = path
        self.end = end
    }

    func rewind() { at = 0 }

    /// Empty at the end.
    func next() throws(IOFailure) -> [UInt8] { try rest(Int(min(UInt64(Self.pieceBytes), max(end, at) - at))) }

    func rest(_ count: Int) throws(IOFailure) -> [UInt8] {
        guard count > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        let got = try bytes.withUnsafeMutableBytes { buffer in
            Result<Int, IOFailure> { () throws(IOFailure) in try file.read(into: buffer, at: at) }
        }.get()
        guard got == count else {
            throw IOFailure(.corruptWorkFile, path: path, found: "this work file has become shorter")
        }
        at += UInt64(count)
        return bytes
    }
}
