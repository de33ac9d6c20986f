import Glibc
import SluiceCore
import Testing

@testable import SluiceIO

@Suite struct ColumnTests {
    let folder = TemporaryFolder()

    @Test func rowsComeBackAsTheyWere() throws {
        var random = SplitMix64(state: 4)
        for rows in [0, 1, 1000] {
            let numbers = (0..<(rows * 7)).map { _ in Int8(truncatingIfNeeded: random.below(256)) }
            let writer = try NpyWriter<Int8>(folder("a.npy"), width: 7, bufferBytes: 1000)
            var at = 0
            while at < numbers.count {
                let end = min(numbers.count, at + 7 * (1 + random.below(300)))
                try writer.append(Array(numbers[at..<end]))
                at = end
            }
            try writer.finish()
            let reader = try NpyReader<Int8>(folder("a.npy"), width: 7, rows: rows)
            #expect(reader.hasFooter)
            #expect(try reader.read(rows: 0..<rows) == numbers)
            var streamed: [Int8] = []
            try reader.forEachChunk(of: 33) { _, part in streamed += Array(part) }
            #expect(streamed == numbers)
            if rows > 5 { #expect(try reader.read(rows: 3..<5) == Array(numbers[21..<35])) }
        }
    }

    @Test func wrongTypesAndShapesAreRefused() throws {
        let writer = try NpyWriter<Int32>(folder("a.npy"), width: 2)
        try writer.append([1, 2, 3, 4])
        try writer.finish()
        func thrown(_ body: () throws -> Void) -> String { failure(body)?.found ?? "nothing" }
        #expect(thrown { _ = try NpyReader<Int64>(folder("a.npy")) } == "its numbers have type <i4, expected <i8")
        #expect(
            thrown { _ = try NpyReader<Int32>(folder("a.npy"), width: 3) } == "its rows have 2 numbers, expected 3")
        #expect(thrown { _ = try NpyReader<Int32>(folder("a.npy"), rows: 9) } == "it has 2 rows, expected 9")
        try folder.write("b.npy", "no numbers here, none at all")
        #expect(thrown { _ = try NpyReader<Int32>(folder("b.npy")) } == "this is not a .npy file")
    }

    /// A stage may write any number, such as -inf for a missing score.
    @Test func numbersThatAreNotFiniteAreKept() throws {
        let numbers = [1, -Double.infinity, .infinity, .nan, -0.0]
        let writer = try NpyWriter<Double>(folder("f.npy"))
        try writer.append(numbers)
        try writer.finish()
        let read = try NpyReader<Double>(folder("f.npy")).read(rows: 0..<numbers.count)
        #expect(read.map(\.bitPattern) == numbers.map(\.bitPattern))
    }

    /// Header, checksum or footer protects every byte of the file.
    @Test func damageIsSeen() throws {
        let writer = try NpyWriter<Int64>(folder("a.npy"))
        try writer.append([1, 2, 3])
        try writer.finish()
        let whole = try FileSystem.local.contents(of: folder("a.npy"))
        for at in whole.indices {
            var bytes = whole
            bytes[at] ^= 4
            try folder.write("b.npy", bytes)
            do {
                let reader = try NpyReader<Int64>(folder("b.npy"), rows: 3)
                // Spaces in the header may change as long as its meaning doesn't.
                #expect(try reader.read(rows: 0..<3) == [1, 2, 3])
                #expect(at < npyHeaderSize)
            } catch {}
        }
        for cut in 0..<whole.count {
            try folder.write("c.npy", Array(whole[..<cut]))
            // Truncated right after the numbers, it is the file that NumPy would write.
            if cut == npyHeaderSize + 24 { continue }
            #expect(failure { _ = try NpyReader<Int64>(folder("c.npy")) } != nil)
        }
    }

    @Test func numpyReadsOursAndWeReadNumpys() throws {
        guard system("python3 -c 'import numpy' 2>/dev/null") == 0 else {
            print("skipped: there is no python3 with numpy here")
            return
        }
        let a = try NpyWriter<Int8>(folder("a.npy"), width: 3)
        try a.append([1, -2, 3, 4, 5, -128])
        try a.finish()
        let b = try NpyWriter<UInt64>(folder("b.npy"))
        try b.append([UInt64.max, 0])
        try b.finish()
        let e = try NpyWriter<Double>(folder("e.npy"), width: 5)
        try e.finish()
        let script = """
            import numpy as np
            d = '\(folder.path)/'
            a = np.load(d + 'a.npy', mmap_mode='r')
            assert a.dtype == np.int8 and a.tolist() == [[1, -2, 3], [4, 5, -128]], a
            assert np.load(d + 'a.npy').sum() == -117
            assert np.load(d + 'b.npy', mmap_mode='r').tolist() == [2**64 - 1, 0]
            assert np.load(d + 'e.npy').shape == (0, 5)
            np.save(d + 'f4.npy', np.arange(12, dtype='<f4').reshape(4, 3))
            np.save(d + 'f8.npy', np.array([1.5, 2.5]))
            np.save(d + 'i1.npy', np.array([[1, -1]], dtype=np.int8))
            np.save(d + 'fortran.npy', np.asfortranarray(np.ones((3, 2))))
            np.save(d + 'cube.npy', np.ones((2, 2, 2)))
            np.save(d + 'big.npy', np.ones(3, dtype='>f4'))
            """
        let path = try folder.write("check.py", script)
        #expect(system("python3 \(path)") == 0)
        let floats = try NpyReader<Float>(folder("f4.npy"))
        #expect(floats.rows == 4 && floats.width == 3 && !floats.hasFooter)
        #expect(try floats.read(rows: 1..<3) == [3, 4, 5, 6, 7, 8])
        #expect(try NpyReader<Double>(folder("f8.npy")).read(rows: 0..<2) == [1.5, 2.5])
        #expect(try NpyReader<Int8>(folder("i1.npy")).read(rows: 0..<1) == [1, -1])
        #expect(failure { _ = try NpyReader<Double>(folder("fortran.npy")) }?.found.contains("Fortran") == true)
        #expect(failure { _ = try NpyReader<Double>(folder("cube.npy")) }?.found.contains("3 dimensions") == true)
        #expect(failure { _ = try NpyReader<Float>(folder("big.npy")) }?.found.contains(">f4") == true)
    }

    @Test func textsComeBackAsTheyWere() throws {
        var random = SplitMix64(state: 8)
        for (rows, blockBytes) in [(0, 100), (1, 100), (400, 1), (400, 5000), (400, 1 << 20)] {
            let texts = (0..<rows).map { _ in (0..<random.below(200)).map { _ in UInt8(random.below(256)) } }
            let writer = try BytesColumnWriter(folder("t.col"), blockBytes: blockBytes)
            for text in texts { try text.withUnsafeBytes { try writer.append($0) } }
            try writer.finish()
            let reader = try BytesColumnReader(folder("t.col"))
            #expect(reader.rows == UInt64(rows))
            var got: [[UInt8]] = []
            while try reader.next({ got.append(Array($0)) }) {}
            #expect(got == texts)
        }
    }

    @Test func damagedTextsAreRefused() throws {
        let writer = try BytesColumnWriter(folder("t.col"), blockBytes: 40)
        for i in 0..<10 { try Array("text number \(i)".utf8).withUnsafeBytes { try writer.append($0) } }
        try writer.finish()
        let whole = try FileSystem.local.contents(of: folder("t.col"))
        for at in whole.indices {
            var bytes = whole
            bytes[at] ^= 0x10
            try folder.write("b.col", bytes)
            let thrown = failure {
                let reader = try BytesColumnReader(folder("b.col"))
                while try reader.next({ _ in }) {}
            }
            #expect(thrown?.code == .corruptWorkFile, "byte \(at)")
            if at % 5 == 0 {
                try folder.write("b.col", Array(whole[..<at]))
                #expect(failure { _ = try BytesColumnReader(folder("b.col")) }?.code == .corruptWorkFile)
            }
        }
    }
}
