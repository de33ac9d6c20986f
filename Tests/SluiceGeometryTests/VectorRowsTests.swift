import Glibc
import SluiceCore
import SluiceGeometry
import Testing

/// Files of vectors: every type of number, by any rows, quantised as the quantiser does it.
@Suite struct VectorRowsTests {
    /// A file in `/tmp`, removed with its last holder.
    private final class File {
        let path: String

        init(_ descriptor: String, _ shape: String, _ bytes: [UInt8], fortran: Bool = false) {
            var name = Array("/tmp/sluice-vectors-XXXXXX".utf8CString)
            let descriptor =
                "{'descr': '\(descriptor)', 'fortran_order': \(fortran ? "True" : "False"), 'shape': \(shape), }\n"
            let header = Array(descriptor.utf8)
            let all =
                [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.count & 0xFF), UInt8(header.count >> 8)] + header
                + bytes
            let file = mkstemp(&name)
            path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            write(file, all, all.count)
            close(file)
        }

        deinit { unlink(path) }
    }

    private static func numbers(_ rows: Int, _ dimension: Int, seed: UInt64) -> [Float] {
        var generator = SplitMix64(state: seed)
        return (0..<rows * dimension).map { _ in Float(Int(generator.next(below: 2001)) - 1000) / 1024 }
    }

    private static func bytes<T>(_ values: [T]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

    /// All rows, in several runs of different lengths.
    private func rows(_ source: File) throws -> [Int8] {
        let file = try VectorFile(source.path)
        let rows = try VectorRows(file)
        var scratch = VectorRows.Scratch(dimension: file.dimension)
        var found = [Int8](repeating: 0, count: file.count * file.dimension)
        var first = 0
        var length = 1
        while first < file.count {
            let end = min(file.count, first + length)
            try found.withUnsafeMutableBufferPointer {
                try rows.quantized(first..<end, into: $0.baseAddress! + first * file.dimension, &scratch)
            }
            (first, length) = (end, length * 3)
        }
        #expect(try file.read() == found)
        withExtendedLifetime(source) {}
        return found
    }

    @Test(arguments: [(1, 7), (5, 64), (333, 48), (40, 1000)]) func everyType(rows count: Int, dimension: Int) throws {
        let floats = Self.numbers(count, dimension, seed: UInt64(dimension))
        let expected = try Quantizer(dimension: dimension).quantize(floats)
        let shape = "(\(count), \(dimension))"
        let halves = floats.map { Float16($0).bitPattern }
        let doubles = floats.map { Double($0) * 0x1p500 }
        #expect(try rows(File("<f4", shape, Self.bytes(floats))) == expected)
        #expect(try rows(File("<f2", shape, Self.bytes(halves))) == expected)
        let wide = try rows(File("<f8", shape, Self.bytes(doubles)))
        #expect(zip(wide, expected).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
        // What was quantised stays as it is.
        #expect(try rows(File("|i1", shape, Self.bytes(expected))) == expected)
    }

    /// Vectors of int8 of another scale are numbers like others.
    @Test func integersOfAnotherScale() throws {
        let (count, dimension) = (50, 64)
        let values = randomRows(count, dimension, limit: 127, seed: 3)
        let expected = Quantizer(dimension: dimension).quantize(sums: values.map { Int32($0) })
        #expect(try rows(File("|i1", "(50, 64)", Self.bytes(values))) == expected)
        let zeros = [Int8](repeating: 0, count: count * dimension)
        #expect(try rows(File("|i1", "(50, 64)", Self.bytes(zeros))) == zeros)
    }

    @Test func everyHalf() throws {
        let all = (0...UInt16.max).filter { Float16(bitPattern: $0).isFinite }
        let file = File("<f2", "(\(all.count), 1)", Self.bytes(all))
        let rows = try VectorRows(VectorFile(file.path))
        var scratch = VectorRows.Scratch(dimension: 1)
        var found = [Float](repeating: 1, count: all.count)
        try rows.numbers(0..<all.count, into: &found, &scratch)
        // IEEE 754: a sign, five bits of exponent, ten of the fraction.
        func value(_ half: UInt16) -> Double {
            let (exponent, fraction) = (Int(half >> 10 & 31), Double(half & 1023))
            var size = exponent == 0 ? fraction / 1024 / 16_384 : 1 + fraction / 1024
            if exponent > 0 { for _ in 0..<abs(exponent - 15) { size = exponent > 15 ? size * 2 : size / 2 } }
            return half & 0x8000 == 0 ? size : -size
        }
        #expect(zip(found, all).allSatisfy { Double($0).bitPattern == value($1).bitPattern })
    }

    @Test func whatIsRefused() {
        func message(_ file: File) -> String {
            do {
                _ = try VectorFile(file.path).read()
                return ""
            } catch {
                return error.description
            }
        }
        let floats = Self.bytes([Float](repeating: 1, count: 12))
        let refused: [(File, String)] = [
            (File("<f4", "(12,)", floats), "it has 1 dimensions"), (File("<c8", "(3, 2)", floats), "type <c8"),
            (File("<f4", "(3, 5)", floats), "needs 60 bytes of numbers, but it has 48"),
            (File("<f4", "(1000000000, 999999999999999)", floats), "shape is"),
            (File("<f4", "(3, 4)", floats, fortran: true), "Fortran order"),
            (File("<f4", "(3, 0)", []), "1 to 8192 components"),
            (File("<f4", "(2, 2)", Self.bytes([1, 2, Float.nan, 4])), "row 1 has a component that is NaN"),
            (File("<f2", "(2, 1)", Self.bytes([0x3C00, 0x7C00] as [UInt16])), "row 1 has a component that is NaN"),
        ]
        for (file, words) in refused { #expect(message(file).contains(words), "\(message(file))") }
    }
}
