import Glibc

/// The three streams that a process is given.
enum StandardStreams {
    /// Puts something on those that are closed, so that no file of ours gets their numbers and is read as the input, or
    /// written over by messages. Reading or writing what stands there fails.
    static func fillClosed() {
        for stream in Int32(0)...2 where fcntl(stream, F_GETFD) < 0 && errno == EBADF {
            // The lowest number that is free is this one.
            _ = open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY)
        }
    }
}
