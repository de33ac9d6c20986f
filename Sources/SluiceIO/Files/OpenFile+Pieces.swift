import CFlush
import Glibc

extension OpenFile {
    /// The most pieces that Linux accepts in one call (IOV_MAX).
    private static let mostPieces = 1024

    /// Writes pieces one after another, starting at `offset`, without joining them in memory.
    public func write(_ pieces: [UnsafeRawBufferPointer], at offset: UInt64) throws(IOFailure) {
        var place = offset
        guard fileSystem.hook == nil else {
            for piece in pieces {
                try write(piece, at: place)
                place += UInt64(piece.count)
            }
            return
        }
        var vectors = pieces.map {
            iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count)
        }
        var first = 0
        while first < vectors.count {
            let count = Int32(min(vectors.count - first, Self.mostPieces))
            var put = vectors.withUnsafeBufferPointer { all in
                retrying { pwritev(descriptor, all.baseAddress! + first, count, off_t(place)) }
            }
            guard put >= 0 else { throw IOFailure(system: errno, doing: .write, path: path, offset: place) }
            place += UInt64(put)
            while first < vectors.count, put >= vectors[first].iov_len {
                put -= vectors[first].iov_len
                first += 1
            }
            guard first < vectors.count, put > 0 else { continue }
            vectors[first].iov_base += put
            vectors[first].iov_len -= put
        }
    }

    /// Starts writing these bytes to disk in the background, so that `flush` has less to wait for. Doesn't wait, has no
    /// other effect, and does nothing if the system doesn't support it.
    public func beginFlushing(_ range: Range<UInt64>) {
        _ = sync_file_range(descriptor, Int64(range.lowerBound), Int64(range.count), sync_file_range_write)
    }

    /// Lets the system drop these bytes from its page cache, as far as they are on disk already.
    public func forget(_ range: Range<UInt64>) {
        _ = posix_fadvise(descriptor, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
    }
}
