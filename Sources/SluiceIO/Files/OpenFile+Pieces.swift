import CFlush
import Glibc

extension OpenFile {
    /// Linux takes so many pieces in one call (IOV_MAX).
    private static let mostPieces = 1024

    /// Writes pieces one after another from a place on, without putting them together first.
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

    /// Has the system begin to put these bytes on the disk, so that `flush` finds less to wait for. Waits for nothing,
    /// changes nothing else, and where the system can't, nothing happens.
    public func beginFlushing(_ range: Range<UInt64>) {
        _ = sync_file_range(descriptor, Int64(range.lowerBound), Int64(range.count), sync_file_range_write)
    }

    /// Lets the system give up the memory in which it keeps these bytes, where they stand on the disk already.
    public func forget(_ range: Range<UInt64>) {
        _ = posix_fadvise(descriptor, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
    }
}
