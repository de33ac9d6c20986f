import Glibc

/// A lock between processes; see `FileSystem.lock(_:)`.
public struct FileLock: ~Copyable, Sendable {
    let file: OpenFile

    // Closing the file would release the lock only once no child process that is just being started has a copy of the
    // descriptor.
    deinit { flock(file.descriptor, LOCK_UN) }
}

/// An open file, closed when the value is destroyed.
///
/// `read(into:)` and `write(_:)` move the file position. `read(into:at:)` doesn't, and several threads may call it at
/// the same time.
public struct OpenFile: ~Copyable, Sendable {
    let descriptor: Int32
    public let path: String
    let fileSystem: FileSystem
    let owned: Bool

    deinit { if owned { close(descriptor) } }

    /// Whether a read would return at once: with bytes, the end of the stream, or an error.
    ///
    /// - Parameter milliseconds: how long to wait for that.
    func hasBytes(within milliseconds: Int32) -> Bool {
        var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let ready = poll(&state, 1, milliseconds)
        // What can't be polled is read: then the read tells what is wrong.
        return ready > 0 || ready < 0 && errno != EINTR
    }

    /// Reads up to `buffer.count` bytes; 0 at the end.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let (limit, _) = try fileSystem.allow(.read, path)
        let got = retrying { Glibc.read(descriptor, buffer.baseAddress, min(buffer.count, limit)) }
        guard got >= 0 else { throw IOFailure(system: errno, doing: .read, path: path) }
        return got
    }

    /// Reads from `offset` until `buffer` is full or the file ends; returns the number of bytes read.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int {
        var done = 0
        while done < buffer.count {
            let (limit, _) = try fileSystem.allow(.read, path, offset: offset)
            let got = retrying {
                pread(
                    descriptor, buffer.baseAddress! + done, min(buffer.count - done, limit), off_t(offset) + off_t(done)
                )
            }
            guard got >= 0 else { throw IOFailure(system: errno, doing: .read, path: path, offset: offset) }
            if got == 0 { break }
            done += got
        }
        return done
    }

    /// Writes all bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) {
        var done = 0
        while done < bytes.count {
            let (limit, then) = try fileSystem.allow(.write, path)
            if limit > 0 {
                let put = retrying {
                    Glibc.write(descriptor, bytes.baseAddress! + done, min(bytes.count - done, limit))
                }
                guard put >= 0 else { throw IOFailure(system: errno, doing: .write, path: path) }
                done += put
            }
            if then != 0 { throw IOFailure(system: then, doing: .write, path: path) }
        }
    }

    /// Writes all bytes at `offset`.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        var done = 0
        while done < bytes.count {
            let (limit, then) = try fileSystem.allow(.write, path, offset: offset)
            if limit > 0 {
                let put = retrying {
                    pwrite(
                        descriptor, bytes.baseAddress! + done, min(bytes.count - done, limit),
                        off_t(offset) + off_t(done))
                }
                guard put >= 0 else { throw IOFailure(system: errno, doing: .write, path: path, offset: offset) }
                done += put
            }
            if then != 0 { throw IOFailure(system: then, doing: .write, path: path, offset: offset) }
        }
    }

    /// Truncates the file to `size` bytes.
    public func truncate(to size: UInt64) throws(IOFailure) {
        _ = try fileSystem.allow(.write, path, offset: size)
        guard retrying({ ftruncate(descriptor, off_t(size)) }) == 0 else {
            throw IOFailure(system: errno, doing: .write, path: path, offset: size)
        }
    }

    /// Returns once the bytes are on disk.
    public func flush() throws(IOFailure) {
        _ = try fileSystem.allow(.flush, path)
        // Pipes and terminals can't be flushed and answer EINVAL.
        guard retrying({ fsync(descriptor) }) == 0 || errno == EINVAL else {
            throw IOFailure(system: errno, doing: .flush, path: path)
        }
    }

    /// Waits until no other opening of the file has it locked, and locks it.
    func lock() throws(IOFailure) {
        _ = try fileSystem.allow(.lock, path)
        guard retrying({ flock(descriptor, LOCK_EX) }) == 0 else {
            throw IOFailure(system: errno, doing: .lock, path: path)
        }
    }

    func unlock() { flock(descriptor, LOCK_UN) }

    public func status() throws(IOFailure) -> FileStatus {
        _ = try fileSystem.allow(.stat, path)
        var status = Glibc.stat()
        guard retrying({ fstat(descriptor, &status) }) == 0 else {
            throw IOFailure(system: errno, doing: .stat, path: path)
        }
        return FileStatus(status)
    }
}
