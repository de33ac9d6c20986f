import Glibc
import Synchronization

/// A file that appears under its name complete or not at all.
///
/// Bytes go to a temporary file in the same folder. `commit()` flushes it, renames it and flushes the folder. If the
/// value is destroyed without a commit, the temporary file is removed and the final name is unchanged.
public struct AtomicFile: ~Copyable, Sendable {
    public let path: String
    public let temporaryPath: String
    let file: OpenFile
    let fileSystem: FileSystem
    private var committed = false

    private static let counter = Atomic<UInt64>(0)

    /// Random bits, since processes on several machines that share a folder may have the same number.
    private static let process: String = {
        var bits: UInt32 = 0
        // Without random bits, the process's number must do.
        _ = getentropy(&bits, MemoryLayout<UInt32>.size)
        return "\(getpid())-\(String(bits, radix: 16))"
    }()

    /// A text that no other call returns, in this process or another.
    public static func uniqueText() -> String { "\(process)-\(counter.add(1, ordering: .relaxed).newValue)" }

    /// A temporary name that no other call returns, in this process or another.
    static func temporaryName(for path: String) -> String { "\(path).\(uniqueText())\(temporarySuffix)" }

    /// The suffix of temporary names. Files with it that remain after a crash may be removed.
    public static let temporarySuffix = ".partial"

    public init(_ path: String, fileSystem: FileSystem = .local) throws(IOFailure) {
        self.path = path
        temporaryPath = Self.temporaryName(for: path)
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

    /// Renames the file to its final name and flushes it to disk.
    public consuming func commit() throws(IOFailure) {
        try file.flush()
        do throws(IOFailure) {
            try fileSystem.rename(temporaryPath, to: path)
        } catch {
            // A server of NFS that renamed the file, but went down before it said so, is asked again.
            guard error.errno == ENOENT, try fileSystem.isFile(file, at: path) else { throw error }
        }
        committed = true
        try fileSystem.flushFolder(Path.folder(of: path))
    }
}

extension FileSystem {
    /// Writes a small file, completely or not at all.
    public func write(_ bytes: [UInt8], to path: String) throws(IOFailure) {
        let file = try AtomicFile(path, fileSystem: self)
        try file.write(bytes)
        try file.commit()
    }
}
