import Glibc
import SluiceCore
import Synchronization
import Testing

@testable import SluiceIO

/// Frames unpacked ahead by several threads against the plain source.
struct ReadAheadTests {
    /// Bytes until the end or the error, the error, and the digest of the file as read.
    private func drain(_ path: String, threads: Int, chunk: Int) -> (
        bytes: [UInt8], failure: IOFailure?, digest: ContentHash
    ) {
        let digest = FileDigest()
        var bytes: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)
        defer { buffer.deallocate() }
        do throws(IOFailure) {
            let source = try FileSystem.local.openInput(
                path, options: InputOptions(digest: digest, readAheadFrames: threads))
            let helpers = Helpers(threads, source)
            defer { helpers.stop() }
            while true {
                let count = try source.read(into: buffer)
                if count == 0 { return (bytes, nil, digest.value) }
                bytes += buffer[..<count]
            }
        } catch {
            return (bytes, error, digest.value)
        }
    }

    /// Threads that unpack ahead of the reader until they are stopped.
    private final class Helpers: @unchecked Sendable {
        // @unchecked: any thread may call `unpackAhead`; only the test uses the list.
        private let source: any ByteSource
        private let isStopping = Atomic<Bool>(false)
        private var threads: [pthread_t] = []

        init(_ count: Int, _ source: any ByteSource) {
            self.source = source
            for _ in 0..<count {
                var thread = pthread_t()
                let this = Unmanaged.passRetained(self)
                let status = pthread_create(
                    &thread, nil,
                    { argument in
                        guard let argument else { return nil }
                        let helpers = Unmanaged<Helpers>.fromOpaque(argument).takeRetainedValue()
                        while !helpers.isStopping.load(ordering: .relaxed) {
                            if !helpers.source.unpackAhead() { sched_yield() }
                        }
                        return nil
                    }, this.toOpaque())
                if status == 0 { threads.append(thread) } else { this.release() }
            }
        }

        func stop() {
            isStopping.store(true, ordering: .relaxed)
            for thread in threads { pthread_join(thread, nil) }
        }
    }

    /// Without helpers the reader unpacks everything itself.
    @Test func nobodyNeedsToHelp() throws {
        let folder = TemporaryFolder()
        let (path, content) = try file(in: folder, seed: 4)
        let source = try FileSystem.local.openInput(path, options: InputOptions(readAheadFrames: 3))
        #expect(source is FrameReadAhead)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 10_000)
        while true {
            let count = try buffer.withUnsafeMutableBytes { try source.read(into: $0) }
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        #expect(bytes == content)
    }

    /// A seekable file of many frames, the last one short, followed by a seek table.
    private func file(in folder: TemporaryFolder, seed: UInt64) throws -> (path: String, content: [UInt8]) {
        var random = Seed(seed).generator()
        let path = folder.path + "/many.zst"
        let writer = try ZstdSeekableWriter(path, frameBytes: 3000)
        var content: [UInt8] = []
        for _ in 0..<400 {
            let line = (0..<random.below(200)).map { _ in UInt8(97 + random.below(9)) } + [0x0A]
            content += line
            try writer.append(line)
        }
        try writer.finish()
        return (path, content)
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func givesWhatThePlainSourceGives(seed: UInt64) throws {
        let folder = TemporaryFolder()
        let (path, content) = try file(in: folder, seed: seed)
        let plain = drain(path, threads: 0, chunk: 4096)
        #expect(plain.bytes == content)
        for threads in [2, 3, 4] {
            for chunk in [1, 777, 65536] {
                let ahead = drain(path, threads: threads, chunk: chunk)
                #expect(ahead.failure == nil)
                #expect(ahead.bytes == content)
                #expect(ahead.digest == plain.digest)
            }
        }
    }

    @Test func aDamagedFrameEndsInTheSameErrorAfterTheSameBytes() throws {
        let folder = TemporaryFolder()
        let (path, content) = try file(in: folder, seed: 7)
        let packed = try FileSystem.local.contents(of: path)
        let frames = try FileSystem.local.zstdFrames(of: path)
        for at in stride(from: 40, to: packed.count, by: 397) {
            var damaged = packed
            damaged[at] ^= 0x55
            let other = folder.path + "/damaged.zst"
            try FileSystem.local.write(damaged, to: other)
            let plain = drain(other, threads: 0, chunk: 4096)
            let ahead = drain(other, threads: 3, chunk: 4096)
            #expect((ahead.failure == nil) == (plain.failure == nil))
            #expect(ahead.failure?.code == plain.failure?.code)
            if plain.failure == nil { #expect(ahead.bytes == content) }
            // All bytes before the damaged frame are there.
            let good = frames.prefix { $0.offset + $0.size <= UInt64(at) }.reduce(0) { $0 + Int($1.contentSize ?? 0) }
            #expect(ahead.bytes.count >= good && content.prefix(good).elementsEqual(ahead.bytes.prefix(good)))
            let same = ahead.bytes == plain.bytes
            #expect(same, "byte \(at): \(ahead.bytes.count) and \(plain.bytes.count) bytes before the error")
        }
    }

    @Test func isNotUsedWhereItIsNotWorthIt() throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/one.zst"
        let writer = try ZstdSeekableWriter(path)
        try writer.append(Array("{}\n".utf8))
        try writer.finish()
        let source = try FileSystem.local.openInput(path, options: InputOptions(readAheadFrames: 4))
        #expect(source is ZstdSource)
        let (many, _) = try file(in: folder, seed: 1)
        #expect(try FileSystem.local.openInput(many, options: InputOptions(readAheadFrames: 4)) is FrameReadAhead)
    }
}
