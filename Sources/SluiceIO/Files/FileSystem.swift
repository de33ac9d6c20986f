import Glibc

/// File access, with one place where a test can make any call fail.
///
/// `FileSystem.local` is the machine's own. `intercepting(_:)` returns a copy that asks a hook before every call, so
/// fault injection needs only a counter:
///
///     let calls = Atomic(0)
///     let faulty = FileSystem.local.intercepting { operation, path in
///         calls.add(1, ordering: .relaxed).newValue == n ? .fail(EIO) : .proceed
///     }
public struct FileSystem: Sendable {
    /// One kind of call.
    public struct Operation: Sendable, Hashable, CustomStringConvertible {
        public let name: String
        let verb: String

        public var description: String { name }

        public static let open = Operation(name: "open", verb: "opening")
        public static let read = Operation(name: "read", verb: "reading")
        public static let write = Operation(name: "write", verb: "writing")
        public static let flush = Operation(name: "flush", verb: "flushing")
        public static let rename = Operation(name: "rename", verb: "renaming")
        public static let remove = Operation(name: "remove", verb: "removing")
        public static let makeFolder = Operation(name: "makeFolder", verb: "making the folder")
        public static let readFolder = Operation(name: "readFolder", verb: "listing the folder")
        public static let stat = Operation(name: "stat", verb: "looking up the file")
        public static let lock = Operation(name: "lock", verb: "locking")
    }

    /// A hook's decision about a call.
    public enum Intervention: Sendable {
        case proceed
        /// The call isn't made and fails with this error number.
        case fail(Int32)
        /// Reads and writes transfer at most this many bytes (at least 1); other calls proceed.
        case short(Int)
        /// A write puts this many bytes into the file, then fails with the error number; other calls fail at once.
        case tear(after: Int, Int32)
    }

    public typealias Hook = @Sendable (_ operation: Operation, _ path: String) -> Intervention

    let hook: Hook?

    /// The machine's own file system.
    public static let local = FileSystem(hook: nil)

    /// A copy that asks `hook` before every call. Hooks add up; the newest is asked first.
    public func intercepting(_ hook: @escaping Hook) -> FileSystem {
        guard let inner = self.hook else { return FileSystem(hook: hook) }
        return FileSystem { operation, path in
            let answer = hook(operation, path)
            if case .proceed = answer { return inner(operation, path) }
            return answer
        }
    }

    /// Throws if a hook makes this call fail; else returns how many bytes it may transfer and the error after them.
    @inline(__always)
    func allow(
        _ operation: Operation, _ path: String, offset: UInt64? = nil
    ) throws(IOFailure) -> (limit: Int, then: Int32) {
        guard let hook else { return (.max, 0) }
        switch hook(operation, path) {
        case .proceed: return (.max, 0)
        case .fail(let number):
            throw IOFailure(system: number, doing: operation, path: path, offset: offset)
        case .short(let limit): return (max(1, limit), 0)
        case .tear(let limit, let number):
            guard operation == .write else {
                throw IOFailure(system: number, doing: operation, path: path, offset: offset)
            }
            return (max(0, limit), number)
        }
    }
}

/// The status of a file; see `FileSystem.status(of:)`.
public struct FileStatus: Sendable, Equatable {
    public var size: UInt64
    public var isFolder: Bool
    public var isRegularFile: Bool
    /// Device and inode: equal for two names of the same file.
    public var device: UInt64
    public var inode: UInt64
    /// Nanoseconds since 1970.
    public var modified: Int64
}

extension FileSystem {
    /// Opens a file for sequential reading; `-` is standard input.
    public func openForReading(_ path: String) throws(IOFailure) -> OpenFile {
        _ = try allow(.open, path)
        if path == "-" { return OpenFile(descriptor: 0, path: "standard input", fileSystem: self, owned: false) }
        let descriptor = retrying { Glibc.open(path, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw IOFailure(system: errno, doing: .open, path: path) }
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
        return OpenFile(descriptor: descriptor, path: path, fileSystem: self, owned: true)
    }

    /// Creates a file for writing and reading. An existing file is truncated.
    public func create(_ path: String) throws(IOFailure) -> OpenFile {
        try open(path, flags: O_RDWR | O_CREAT | O_TRUNC)
    }

    /// Opens a file for reading and writing. Keeps the content of an existing file; creates a missing one.
    public func openForUpdating(_ path: String) throws(IOFailure) -> OpenFile {
        try open(path, flags: O_RDWR | O_CREAT)
    }

    /// Opens a file for appending. Creates a missing one.
    public func openForAppending(_ path: String) throws(IOFailure) -> OpenFile {
        try open(path, flags: O_RDWR | O_CREAT | O_APPEND)
    }

    private func open(_ path: String, flags: Int32) throws(IOFailure) -> OpenFile {
        _ = try allow(.open, path)
        let descriptor = retrying { Glibc.open(path, flags | O_CLOEXEC, 0o666) }
        guard descriptor >= 0 else {
            let number = errno
            var failure = IOFailure(system: number, doing: .open, path: path)
            if failure.code == .cannotOpen { failure.code = .cannotWrite }
            throw failure
        }
        return OpenFile(descriptor: descriptor, path: path, fileSystem: self, owned: true)
    }

    /// Renames a file. Atomically replaces a file that already has the new name.
    public func rename(_ from: String, to: String) throws(IOFailure) {
        _ = try allow(.rename, from)
        guard retrying({ Glibc.rename(from, to) }) == 0 else {
            throw IOFailure(system: errno, doing: .rename, path: from)
        }
    }

    /// Removes a file, if it exists.
    public func remove(_ path: String) throws(IOFailure) {
        _ = try allow(.remove, path)
        guard retrying({ unlink(path) }) == 0 || errno == ENOENT else {
            throw IOFailure(system: errno, doing: .remove, path: path)
        }
    }

    /// Removes an empty folder, if it exists.
    public func removeFolder(_ path: String) throws(IOFailure) {
        _ = try allow(.remove, path)
        guard retrying({ rmdir(path) }) == 0 || errno == ENOENT else {
            throw IOFailure(system: errno, doing: .remove, path: path)
        }
    }

    /// Whether the path is a folder, and not a link to one.
    public func isRealFolder(_ path: String) -> Bool {
        var status = Glibc.stat()
        guard lstat(path, &status) == 0 else { return false }
        return status.st_mode & S_IFMT == S_IFDIR
    }

    /// Creates a folder and its parents, unless they exist.
    public func makeFolder(_ path: String) throws(IOFailure) {
        if path.isEmpty || path == "/" || path == "." { return }
        _ = try allow(.makeFolder, path)
        if mkdir(path, 0o777) == 0 { return }
        var number = errno
        if number == ENOENT {
            let above = Path.folder(of: path)
            if above != path {
                try makeFolder(above)
                if mkdir(path, 0o777) == 0 { return }
                number = errno
            }
        }
        if number == EEXIST, let status = try status(of: path), status.isFolder { return }
        throw IOFailure(system: number, doing: .makeFolder, path: path)
    }

    /// The names in a folder, sorted by bytes, without `.` and `..`.
    public func entries(of path: String) throws(IOFailure) -> [String] {
        _ = try allow(.readFolder, path)
        guard let folder = opendir(path) else { throw IOFailure(system: errno, doing: .readFolder, path: path) }
        defer { closedir(folder) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(folder) else {
                if errno != 0 { throw IOFailure(system: errno, doing: .readFolder, path: path) }
                break
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return names
    }

    /// The status of a file; `nil` if it doesn't exist.
    public func status(of path: String) throws(IOFailure) -> FileStatus? {
        _ = try allow(.stat, path)
        var status = Glibc.stat()
        guard retrying({ lookUp(path, &status) }) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw IOFailure(system: errno, doing: .stat, path: path)
        }
        return FileStatus(status)
    }

    /// Flushes a folder, so that a rename in it survives a power failure.
    public func flushFolder(_ path: String) throws(IOFailure) {
        _ = try allow(.flush, path)
        let descriptor = retrying { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw IOFailure(system: errno, doing: .flush, path: path) }
        defer { close(descriptor) }
        // Some file systems can't flush folders and answer EINVAL; nothing can be done about that.
        guard retrying({ fsync(descriptor) }) == 0 || errno == EINVAL else {
            throw IOFailure(system: errno, doing: .flush, path: path)
        }
    }

    /// Locks the file at `path` for this process, and creates it if missing.
    ///
    /// The lock is released when the value is destroyed, or by the system when the process ends.
    ///
    /// - Throws: `.locked` if another process, or another lock of this process, holds it.
    ///
    /// - Parameter isShared: whether other processes may hold it at the same time, if they share it, too.
    public func lock(_ path: String, isShared: Bool = false) throws(IOFailure) -> FileLock {
        let file = try openForAppending(path)
        _ = try allow(.lock, path)
        guard retrying({ flock(file.descriptor, (isShared ? LOCK_SH : LOCK_EX) | LOCK_NB) }) == 0 else {
            let number = errno
            // On NFS: its holder on another machine has removed it meanwhile.
            if number == ESTALE { return try lock(path, isShared: isShared) }
            if number == EWOULDBLOCK {
                throw IOFailure(
                    .locked, path: path, errno: number, found: "another process is at work here",
                    advice: "Wait until it ends, or stop it.")
            }
            throw IOFailure(system: number, doing: .lock, path: path)
        }
        // The previous holder may have removed the file after it was opened here; a lock on it would guard nothing.
        refresh(Path.folder(of: path))
        guard try isFile(file, at: path) else { return try lock(path, isShared: isShared) }
        return FileLock(file: file)
    }

    /// Turns a shared lock into that of one process, if no other process shares it.
    ///
    /// - Returns: false if one does; then this process no longer holds the lock.
    public func takeOver(_ lock: borrowing FileLock) throws(IOFailure) -> Bool {
        _ = try allow(.lock, lock.file.path)
        return retrying { flock(lock.file.descriptor, LOCK_EX | LOCK_NB) } == 0
    }

    /// Reads a whole small file.
    ///
    /// - Throws: `.cannotRead` if it has more than `limit` bytes.
    public func contents(of path: String, limit: Int = 64 << 20) throws(IOFailure) -> [UInt8] {
        let file = try openForReading(path)
        var bytes: [UInt8] = []
        var filled = 0
        while true {
            if bytes.count - filled < 65536 {
                let more = max(65536, bytes.count)
                // In one call: a debug build takes milliseconds to append as many zeros one by one.
                bytes += [UInt8](unsafeUninitializedCapacity: more) { buffer, count in
                    if let start = buffer.baseAddress { memset(start, 0, more) }
                    count = more
                }
            }
            // The closure can't throw a typed error through the array's method, so it returns the error.
            let got = bytes.withUnsafeMutableBytes { buffer -> Result<Int, IOFailure> in
                do throws(IOFailure) {
                    return .success(try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])))
                } catch { return .failure(error) }
            }
            let count = try got.get()
            if count == 0 { break }
            filled += count
            if filled > limit {
                throw IOFailure(.cannotRead, path: path, found: "it has more than \(limit) bytes")
            }
        }
        bytes.removeSubrange(filled...)
        return bytes
    }
}

extension FileStatus {
    init(_ status: Glibc.stat) {
        self.init(
            size: UInt64(max(0, status.st_size)), isFolder: status.st_mode & S_IFMT == S_IFDIR,
            isRegularFile: status.st_mode & S_IFMT == S_IFREG, device: UInt64(status.st_dev),
            inode: UInt64(status.st_ino),
            modified: Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec))
    }
}

/// Repeats a system call that a signal interrupted.
@inline(__always)
func retrying<Number: FixedWidthInteger>(_ call: () -> Number) -> Number {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

/// Parts of file paths, without Foundation.
public enum Path {
    /// The parent folder: `a/b` of `a/b/c`, `.` of `c`, `/` of `/c`.
    public static func folder(of path: String) -> String {
        let bytes = Array(path.utf8)
        var end = bytes.count
        while end > 1, bytes[end - 1] == UInt8(ascii: "/") { end -= 1 }
        guard let slash = bytes[..<end].lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == 0 ? "/" : String(decoding: bytes[..<slash], as: UTF8.self)
    }

    /// The last component: `c` of `a/b/c`.
    public static func name(of path: String) -> String {
        let bytes = Array(path.utf8)
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(decoding: bytes[(slash + 1)...], as: UTF8.self)
    }
}

/// `stat(2)`: in Swift the type of the same name hides the function.
private func lookUp(_ path: String, _ status: inout Glibc.stat) -> Int32 { fstatat(AT_FDCWD, path, &status, 0) }
