import Glibc
import Synchronization

/// A file that appears under its name whole or not at all.
///
/// Bytes go to a temporary name in the same folder. `commit()` flushes them, renames, and flushes the folder. When the
/// value goes without a commit, the temporary file is removed and nothing has changed under the final name.
public struct AtomicFile: ~Copyable, Sendable {
    public let path: String
    public let temporaryPath: String
    let file: OpenFile
    let fileSystem: FileSystem
    private var committed = false

    /// The number that keeps two temporary files of one process apart.
    private static let counter = Atomic<UInt64>(0)

    /// The ending of temporary names; what carries it after a crash may be removed.
    public static let temporarySuffix = ".partial"

    public init(_ path: String, fileSystem: FileSystem = .local) throws(IOFailure) {
        self.path = path
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        temporaryPath = "\(path).\(getpid())-\(number)\(Self.temporarySuffix)"
        file = try fileSystem.create(temporaryPath)
        self.fileSystem = fileSystem
    }

    deinit {
        if !committed { unlink(temporaryPath) }
    }

    public func write(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) { try file.write(bytes) }

    public func write(_ bytes: [UInt8]) throws(IOFailure) {
        let result = bytes.withUnsafeBytes { raw -> Result<Void, IOFailure> in
            do throws(IOFailure) { return .success(try file.write(raw)) } catch { return .failure(error) }
        }
        try result.get()
    }

    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        try file.write(bytes, at: offset)
    }

    /// Makes the file stand under its final name, on the disk.
    public consuming func commit() throws(IOFailure) {
        try file.flush()
        try fileSystem.rename(temporaryPath, to: path)
        committed = true
        try fileSystem.flushFolder(Path.folder(of: path))
    }
}

extension FileSystem {
    /// Writes a small file whole or not at all.
    public func write(_ bytes: [UInt8], to path: String) throws(IOFailure) {
        let file = try AtomicFile(path, fileSystem: self)
        try file.write(bytes)
        try file.commit()
    }
}
