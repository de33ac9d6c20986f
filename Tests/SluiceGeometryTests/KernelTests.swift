import CVectorKernels
import SluiceCore
import SluiceGeometry
import Testing

/// Every path of the machine against plain loops. Vectors fill their memory exactly and start at odd addresses.
@Suite struct KernelTests {
    static let paths: [Int32] = (0..<4).filter { svk_path_kernels($0) != nil }
    static let dimensions = [
        1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 129, 191, 255, 256, 300, 384, 768, 1536,
    ]

    /// All bytes, including -128.
    private func bytes(_ count: Int, _ seed: UInt64) -> [Int8] {
        var generator = SplitMix64(state: seed)
        return (0..<count).map { _ in Int8(truncatingIfNeeded: generator.next()) }
    }

    /// Passes a copy of the bytes at an odd address, with nothing after it.
    private func misaligned<R>(_ bytes: [Int8], _ body: (UnsafePointer<Int8>) -> R) -> R {
        let memory = UnsafeMutablePointer<Int8>.allocate(capacity: bytes.count + 1)
        defer { memory.deallocate() }
        (memory + 1).initialize(from: bytes, count: bytes.count)
        return body(memory + 1)
    }

    @Test func aPathForEveryMachine() {
        #expect(Self.paths.contains(KernelPath.portable.numberForTests))
        #expect(KernelPath.available.contains(.current))
        #expect(KernelPath.available.count == Self.paths.count)
    }

    @Test(arguments: paths, dimensions)
    func oneToManyAndSumsEqualPlainLoops(path: Int32, d: Int) {
        let kernels = svk_path_kernels(path)!.pointee
        let n = d > 300 ? 9 : 23
        let rows = bytes(n * d, UInt64(d))
        let x = bytes(d, UInt64(d) + 1)
        let expected = (0..<n).map { Int32(dot(rows.row($0, d), x[...])) }
        let norms = (0..<n).map { Int32(dot(rows.row($0, d), rows.row($0, d))) }
        var out = [Int32](repeating: 0, count: n)
        misaligned(rows) { rows in misaligned(x) { kernels.dots($0, rows, nil, n, d, &out) } }
        #expect(out == expected)
        let chosen = (0..<n).map { UInt32(($0 * 7 + 2) % n) }
        misaligned(rows) { rows in misaligned(x) { kernels.dots($0, rows, chosen, n, d, &out) } }
        #expect(out == chosen.map { expected[Int($0)] })
        misaligned(rows) { kernels.norms($0, n, d, &out) }
        #expect(out == norms)
        var sums = (0..<d).map { Int64($0) }
        misaligned(rows) { kernels.sums($0, nil, n, d, &sums) }
        #expect(sums == (0..<d).map { j in Int64(j) + (0..<n).reduce(0) { $0 + Int64(rows[$1 * d + j]) } })
        let weights = (0..<n).map { Int16(truncatingIfNeeded: 32_767 - $0 * 9973) }
        var weighted = (0..<d).map { Int32($0) }
        misaligned(rows) { kernels.weighted($0, chosen, weights, n, d, &weighted) }
        #expect(
            weighted
                == (0..<d).map { j in
                    (0..<n).reduce(Int32(j)) { $0 + Int32(weights[$1]) * Int32(rows[Int(chosen[$1]) * d + j]) }
                })
        let select: [UInt32] = [3, 0, 3, UInt32(n - 1)]
        sums = [Int64](repeating: 0, count: d)
        misaligned(rows) { kernels.sums($0, select, 4, d, &sums) }
        #expect(sums == (0..<d).map { j in select.reduce(0) { $0 + Int64(rows[Int($1) * d + j]) } })
    }

    /// Sums of rows of floats: in the order of the rows, each product rounded before it is added.
    @Test(arguments: paths, dimensions)
    func tableRowsEqualPlainLoops(path: Int32, d: Int) {
        let kernels = svk_path_kernels(path)!.pointee
        let n = 13
        let columns = d + 3
        let raw = bytes(n * columns * 4, UInt64(d) + 9)
        let chosen = (0..<40).map { UInt32(($0 * 7 + 2) % n) }
        let weights = (0..<40).map { Float($0 % 9) * 0.3 - 1 }
        for (kind, size) in [(SVK_F32, 4), (SVK_F16, 2), (SVK_I8, 1)] {
            // No infinities and NaN: one bit of each exponent is 0. Halves have all exponents below that, also the least.
            let table = raw.enumerated().map { place, byte in
                size > 1 && place % size == size - 1 ? byte & (size == 2 ? ~0x40 : ~0x20) : byte
            }
            func number(_ row: Int, _ column: Int) -> Float {
                let place = (row * columns + column) * size
                let bits = (0..<size).reduce(UInt32(0)) {
                    $0 | UInt32(UInt8(bitPattern: table[place + $1])) << (8 * UInt32($1))
                }
                switch size {
                case 4: return Float(bitPattern: bits)
                case 2:
                    let exponent = Int(bits >> 10 & 31)
                    let fraction = Float(bits & 0x3FF) + (exponent > 0 ? 1024 : 0)
                    let magnitude = fraction * Float(sign: .plus, exponent: max(exponent, 1) - 25, significand: 1)
                    return bits >> 15 == 1 ? -magnitude : magnitude
                default: return Float(Int8(bitPattern: UInt8(bits)))
                }
            }
            var sums = (0..<d).map { Float($0) / 7 }
            let expected = (0..<d).map { column in
                zip(chosen, weights).reduce(Float(column) / 7) { sum, pair in
                    let product = pair.1 * number(Int(pair.0), column)
                    return sum + product
                }
            }
            misaligned(table) {
                kernels.add_rows(Int32(kind), $0, columns * size, chosen, weights, chosen.count, d, &sums)
            }
            #expect(sums.map(\.bitPattern) == expected.map(\.bitPattern), "\(kind)")
        }
    }

    @Test(arguments: paths, dimensions)
    func manyToManyEqualsPlainLoops(path: Int32, d: Int) {
        let kernels = svk_path_kernels(path)!.pointee
        let n = d > 300 ? 8 : 53
        let k = d > 300 ? 17 : [1, 15, 16, 63, 64, 65, 130][d % 7]
        let rows = bytes(n * d, UInt64(d) + 2)
        // Some columns are repeated: ties go to the lowest.
        var columns = bytes(k * d, UInt64(d) + 3)
        if k > 2 { columns.replaceSubrange((k - 1) * d..<k * d, with: columns[0..<d]) }
        let bias = (0..<k).map { Int32(dot(columns.row($0, d), columns.row($0, d))) }
        let packed = UnsafeMutableRawPointer.allocate(byteCount: svk_packed_bytes(k, d), alignment: 64)
        defer { packed.deallocate() }
        misaligned(columns) { kernels.pack($0, k, d, bias, packed) }
        var out = [Int32](repeating: -7, count: n * (k + 1))
        misaligned(rows) { kernels.products($0, n, packed, &out, k + 1) }
        var index = [UInt32](repeating: 0, count: n)
        var value = [Int32](repeating: 0, count: n)
        misaligned(rows) { kernels.nearest($0, nil, n, packed, &index, &value, nil) }
        for i in 0..<n {
            let products = (0..<k).map { Int32(dot(rows.row(i, d), columns.row($0, d))) }
            #expect(Array(out[i * (k + 1)..<i * (k + 1) + k]) == products)
            #expect(out[i * (k + 1) + k] == -7, "written past the columns")
            let values = (0..<k).map { bias[$0] - 2 * products[$0] }
            #expect(value[i] == values.min()!)
            #expect(Int(index[i]) == values.firstIndex(of: values.min()!)!)
        }
        let select: [UInt32] = [UInt32(n - 1), 0, 2]
        var index3 = [UInt32](repeating: 0, count: 3)
        var value3 = [Int32](repeating: 0, count: 3)
        var second = [Int32](repeating: 0, count: n)
        var again = (index, value)
        misaligned(rows) { kernels.nearest($0, nil, n, packed, &again.0, &again.1, &second) }
        #expect(again.0 == index && again.1 == value)
        for i in 0..<n {
            var values = (0..<k).map { bias[$0] - 2 * Int32(dot(rows.row(i, d), columns.row($0, d))) }
            values.remove(at: Int(index[i]))
            #expect(second[i] == values.min() ?? .max)
        }
        misaligned(rows) { kernels.nearest($0, select, 3, packed, &index3, &value3, nil) }
        #expect(index3 == select.map { index[Int($0)] })
        #expect(value3 == select.map { value[Int($0)] })
    }

    @Test(arguments: paths)
    func noColumnsAndExtremeValues(path: Int32) {
        let kernels = svk_path_kernels(path)!.pointee
        let d = 8192
        for (a, b) in [(-128, -128), (-128, 127), (127, 127)] as [(Int8, Int8)] {
            let x = [Int8](repeating: a, count: d)
            let y = [Int8](repeating: b, count: d)
            var out: Int32 = 0
            kernels.dots(x, y, nil, 1, d, &out)
            #expect(Int(out) == d * Int(a) * Int(b))
            let packed = UnsafeMutableRawPointer.allocate(byteCount: svk_packed_bytes(1, d), alignment: 64)
            defer { packed.deallocate() }
            kernels.pack(y, 1, d, nil, packed)
            kernels.products(x, 1, packed, &out, 1)
            #expect(Int(out) == d * Int(a) * Int(b))
        }
        let packed = UnsafeMutableRawPointer.allocate(byteCount: svk_packed_bytes(0, 4), alignment: 64)
        defer { packed.deallocate() }
        kernels.pack([0], 0, 4, nil, packed)
        var index: UInt32 = 0
        var value: Int32 = 0
        var second: Int32 = 0
        kernels.nearest([1, 2, 3, 4], nil, 1, packed, &index, &value, &second)
        #expect(index == .max && value == .max && second == .max)
    }

    @Test(arguments: paths)
    func floatingPointKernelsGiveThePortableBits(path: Int32) {
        let portable = svk_path_kernels(0)!.pointee
        let kernels = svk_path_kernels(path)!.pointee
        var generator = SplitMix64(state: 5)
        func doubles(_ count: Int) -> [Double] {
            (0..<count).map { _ in Double(Int64(bitPattern: generator.next())) / 3e18 }
        }
        for (n, d, m) in [(1, 3, 8), (9, 33, 16), (21, 64, 24), (17, 65, 40), (8, 30, 56)] {
            let rows = bytes(n * d, 9)
            let (weights, offsets) = (doubles(d * m), doubles(m))
            var scratch = [Double](repeating: 0, count: 8 * d)
            var a = [Double](repeating: 0, count: n * m)
            var b = a
            portable.project(rows, n, d, weights, m, offsets, &a, &scratch)
            kernels.project(rows, n, d, weights, m, offsets, &b, &scratch)
            #expect(a.map(\.bitPattern) == b.map(\.bitPattern))
            // The definition: the products are added in the order of the components.
            for r in 0..<n {
                for j in 0..<m {
                    var sum = 0.0
                    for i in 0..<d { sum += Double(rows[r * d + i]) * weights[svk_weight_index(i, j, d, m)] }
                    #expect(a[r * m + j] == sum - offsets[j])
                }
            }
        }
        for n in [1, 7, 8, 9, 100] {
            let (x, y) = (doubles(n), doubles(n))
            #expect(portable.inner(n, x, y).bitPattern == kernels.inner(n, x, y).bitPattern)
            var (a, b) = (y, y)
            portable.axpy(n, 0.3, x, &a)
            kernels.axpy(n, 0.3, x, &b)
            portable.axpy2(n, 0.7, x, -1.1, y, &a)
            kernels.axpy2(n, 0.7, x, -1.1, y, &b)
            #expect(a == b)
            var (c, e) = (doubles(4 * n), [Double]())
            e = c
            portable.rotate(&c, n, n, 2, 3, [0.6, 0.8, 1], [0.8, 0.6, 0])
            kernels.rotate(&e, n, n, 2, 3, [0.6, 0.8, 1], [0.8, 0.6, 0])
            #expect(c == e)
        }
    }
}

extension KernelPath {
    fileprivate var numberForTests: Int32 { KernelPath.available.contains(self) ? 0 : -1 }
}
