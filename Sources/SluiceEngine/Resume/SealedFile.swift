import SluiceCore
import SluiceIO

extension FileSystem {
    /// Writes a value and a checksum, completely or not at all, without a second copy of the value in memory.
    func writeSealed(_ value: some ByteCodable, to path: String) throws(IOFailure) {
        let file = SealedOutput(try AtomicFile(path, fileSystem: self))
        var writer = ByteWriter { file.write($0) }
        writer.write(value)
        writer.flush()
        try file.finish()
    }

    /// The value that `writeSealed` wrote; nil if there is no such file.
    ///
    /// - Throws: `IOFailure` with code `.corruptWorkFile` if the checksum doesn't fit. Nothing of the file is used before
    ///   all of it has been checked.
    func sealed<Value: ByteCodable>(_ type: Value.Type, _ path: String) throws(IOFailure) -> Value? {
        guard try status(of: path) != nil else { return nil }
        let damaged = IOFailure(.corruptWorkFile, path: path, found: "this work file is damaged")
        let file = try openForReading(path)
        let size = try file.status().size
        guard size >= 8 else { throw damaged }
        var sum = XXHashStream()
        let input = SealedInput(file, path: path, end: size - 8)
        while case let piece = try input.next(), !piece.isEmpty { piece.withUnsafeBytes { sum.update($0) } }
        guard try input.rest(8) == sum.digest64.encoded else { throw damaged }
        input.rewind()
        do throws(StageError) {
            var reader = ByteReader { () throws(StageError) in
                do throws(IOFailure) { return try input.next() } catch {
                    throw StageError(.invalidData, error.description)
                }
            }
            let value = try reader.read(Value.self)
            try reader.expectEnd()
            return value
        } catch {
            throw IOFailure(.corruptWorkFile, path: path, found: error.message)
        }
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
    private let path: String
    private let end: UInt64
    private var at: UInt64 = 0
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
