import Glibc

/// The three standard streams of the process.
enum StandardStreams {
    /// Opens a placeholder on each closed stream, so that no other file gets its number and is read as the input or
    /// overwritten by messages. Reading or writing the placeholder fails.
    static func fillClosed() {
        for stream in Int32(0)...2 where fcntl(stream, F_GETFD) < 0 && errno == EBADF {
            // `open` returns the lowest free number, which is this one.
            _ = open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY)
        }
    }
}
