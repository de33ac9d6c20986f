import Glibc
import SluiceCore

/// A file mapped into memory, read-only: all threads and processes that map it share its pages.
///
/// Unmapped when nobody holds it. The file must not be cut short while it is mapped.
final class MappedFile: Sendable {
    let path: String
    let count: Int
    private let address: Int

    /// - Throws: why the file can't be mapped.
    init(_ path: String) throws(StageError) {
        self.path = path
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw StaticModel.wrong("\(path) can't be opened: \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        var facts = stat()
        guard fstat(file, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw StaticModel.wrong("\(path) is no file that can be read at any place")
        }
        count = Int(facts.st_size)
        guard count > 0 else { throw StaticModel.wrong("\(path) is empty") }
        guard let start = mmap(nil, count, PROT_READ, MAP_SHARED, file, 0), start != MAP_FAILED else {
            throw StaticModel.wrong("\(path) can't be mapped: \(String(cString: strerror(errno)))")
        }
        address = Int(bitPattern: start)
    }

    deinit { munmap(UnsafeMutableRawPointer(bitPattern: address), count) }

    /// The bytes, as long as the file is held.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: count)
    }

    /// A digest of the bytes, as 32 hexadecimal digits. Cost: a pass over them.
    var digest: String { Self.digest(bytes) }

    /// Four chains of 8 bytes in turn, so that the processor works on all at a time.
    static func digest(_ bytes: UnsafeRawBufferPointer) -> String {
        let words = bytes.count / 8
        func word(_ index: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
        }
        var (a, b, c, d) = (UInt64(truncatingIfNeeded: bytes.count), UInt64(1), UInt64(2), UInt64(3))
        var index = 0
        while index + 4 <= words {
            a = Seed.mix(a ^ word(index))
            b = Seed.mix(b ^ word(index + 1))
            c = Seed.mix(c ^ word(index + 2))
            d = Seed.mix(d ^ word(index + 3))
            index += 4
        }
        while index < words {
            a = Seed.mix(a ^ word(index))
            index += 1
        }
        for place in (words * 8)..<bytes.count { b = Seed.mix(b ^ UInt64(bytes[place])) }
        return [Seed.mix(a ^ Seed.mix(b)), Seed.mix(c ^ Seed.mix(d ^ a))].map { part in
            let digits = String(part, radix: 16)
            return String(repeating: "0", count: 16 - digits.utf8.count) + digits
        }.joined()
    }
}
