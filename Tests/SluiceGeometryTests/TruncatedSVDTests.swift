import SluiceCore
import SluiceGeometry
import Testing

/// The randomised decomposition against the eigenvectors of the whole matrix.
@Suite struct TruncatedSVDTests {
    /// A sparse matrix, and the same one row-major.
    private func matrix(rows: Int, columns: Int, seed: UInt64, entries: Int) -> (sparse: SparseColumns, dense: [Double])
    {
        var generator = SplitMix64(state: seed)
        var dense = [Double](repeating: 0, count: rows * columns)
        for _ in 0..<entries {
            let place = Int(generator.next(below: UInt64(rows * columns)))
            // Columns of falling weight, so that the singular values are apart.
            dense[place] = Double(Float(1 + generator.next(below: 100)) / Float(1 + place % columns))
        }
        return (Self.sparse(dense, rows: rows, columns: columns), dense)
    }

    private static func sparse(_ dense: [Double], rows: Int, columns: Int) -> SparseColumns {
        var starts = [0]
        var (row, value): ([UInt32], [Float]) = ([], [])
        for column in 0..<columns {
            for index in 0..<rows where dense[index * columns + column] != 0 {
                row.append(UInt32(index))
                value.append(Float(dense[index * columns + column]))
            }
            starts.append(row.count)
        }
        return SparseColumns(rows: rows, columns: columns, starts: starts, row: row, value: value)
    }

    /// Row-major, `rank` wide.
    private func right(_ found: TruncatedSVD, columns: Int) -> [Double] {
        var all = [Double](repeating: 0, count: columns * found.rank)
        all.withUnsafeMutableBufferPointer { all in
            for column in 0..<columns { found.right(column, into: all.baseAddress! + column * found.rank) }
        }
        return all
    }

    private func exact(_ dense: [Double], rows: Int, columns: Int) -> SymmetricEigen {
        var squares = [Double](repeating: 0, count: columns * columns)
        for i in 0..<columns {
            for j in 0..<columns {
                squares[i * columns + j] = (0..<rows).reduce(0) {
                    $0 + dense[$1 * columns + i] * dense[$1 * columns + j]
                }
            }
        }
        return SymmetricEigen(squares, dimension: columns)
    }

    @Test(arguments: [(60, 40, 5), (40, 90, 8), (200, 70, 20), (9, 30, 4)])
    func valuesAndSubspaceAreTheExactOnes(rows: Int, columns: Int, rank: Int) {
        let (sparse, dense) = matrix(rows: rows, columns: columns, seed: UInt64(rows), entries: rows * columns / 3)
        let found = TruncatedSVD(sparse, rank: rank, seed: Seed(5))
        let eigen = exact(dense, rows: rows, columns: columns)
        for k in 0..<rank {
            let value = max(0, eigen.values[k]).squareRoot()
            #expect((found.values[k] - value).magnitude < 1e-6 * eigen.values[0].squareRoot(), "value \(k)")
        }
        // Equal subspaces have equal projectors.
        let vectors = right(found, columns: columns)
        var worst = 0.0
        for i in 0..<columns {
            for j in 0..<columns {
                let mine = (0..<rank).reduce(0.0) { $0 + vectors[i * rank + $1] * vectors[j * rank + $1] }
                let theirs = (0..<rank).reduce(0.0) {
                    $0 + eigen.vectors[$1 * columns + i] * eigen.vectors[$1 * columns + j]
                }
                worst = max(worst, (mine - theirs).magnitude)
            }
        }
        #expect(worst < 1e-5)
    }

    @Test func theWidthIsNoPartOfTheResult() {
        let (sparse, _) = matrix(rows: 120, columns: 300, seed: 3, entries: 4000)
        let one = TruncatedSVD(sparse, rank: 40, seed: Seed(1))
        let three = TruncatedSVD(sparse, rank: 40, seed: Seed(1), parallel: threads(3))
        #expect(one.values == three.values)
        #expect(right(one, columns: 300) == right(three, columns: 300))
    }

    /// Fewer directions than asked for: the rest is zero, and nothing is NaN.
    @Test func matricesOfLowRank() {
        let (rows, columns, most) = (12, 50, 16)
        var same = [Double](repeating: 0, count: rows * columns)
        var two = same
        for place in same.indices {
            let (row, column) = (place / columns, place % columns)
            same[place] = Double(column % 3)
            two[place] = Double(row < 5 ? column % 3 : 7 - column % 4)
        }
        let cases: [([Double], Int)] = [(same, 1), (two, 2), (same.map { _ in 0 }, 0)]
        for (dense, rank) in cases {
            let found = TruncatedSVD(Self.sparse(dense, rows: rows, columns: columns), rank: most, seed: Seed(2))
            #expect(found.values.count { $0 > 0 } == rank)
            let vectors = right(found, columns: columns)
            for k in 0..<most {
                var length = 0.0
                for column in 0..<columns { length += vectors[column * most + k] * vectors[column * most + k] }
                #expect((length - (k < rank ? 1 : 0)).magnitude < 1e-6)
            }
        }
    }

    @Test func noRowsAtAll() {
        let found = TruncatedSVD(
            SparseColumns(rows: 0, columns: 3, starts: [0, 0, 0, 0], row: [], value: []), rank: 4, seed: Seed(1))
        #expect(found.values == [0, 0, 0, 0] && right(found, columns: 3).allSatisfy { $0 == 0 })
    }
}

@Suite struct RandomRotationTests {
    @Test(arguments: [1, 2, 16, 17, 100, 256, 384, 1000])
    func keepsProductsAndSpreadsLength(dimension: Int) {
        let rotation = RandomRotation(dimension: dimension, seed: Seed(9))
        func rotated(_ vector: [Double]) -> [Double] {
            var vector = vector
            vector.withUnsafeMutableBufferPointer { rotation.apply(to: $0.baseAddress!) }
            return vector
        }
        func inner(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        var generator = SplitMix64(state: 4)
        let vectors = (0..<4).map { _ in
            (0..<dimension).map { _ in Double(Int64(bitPattern: generator.next())) / 9e18 }
        }
        for a in vectors {
            for b in vectors {
                #expect((inner(rotated(a), rotated(b)) - inner(a, b)).magnitude < 1e-12 * Double(dimension))
            }
        }
        guard dimension >= 100 else { return }
        // Any direction, also one with all its length in one component, fits the scale of Int8 afterwards.
        for place in [0, 1, dimension / 2, dimension - 1] {
            let spread = rotated((0..<dimension).map { $0 == place ? 1 : 0 })
            #expect(spread.map(\.magnitude).max()! < 8 / Double(dimension).squareRoot())
        }
    }
}

@Suite struct WeightedRowsTests {
    @Test(arguments: KernelPath.available)
    func sumsOfManyRowsAreExact(path: KernelPath) {
        let before = KernelPath.current
        defer { before.select() }
        path.select()
        let (dimension, table) = (130, 40)
        var generator = SplitMix64(state: 8)
        let vectors = (0..<(table * dimension)).map { _ in Int8(truncatingIfNeeded: generator.next()) }
        // More than one call of the kernel, and all at the limit of what it takes.
        let rows = (0..<1300).map { UInt32($0 * 7 % table) }
        let weights = (0..<1300).map { $0 < 600 ? Int16.max : Int16($0) }
        var (sums, scratch) = ([Int64](repeating: 5, count: dimension), [Int32](repeating: 0, count: dimension))
        WeightedRows.add(
            vectors, dimension: dimension, rows: rows, weights: weights, count: 1300, into: &sums, scratch: &scratch)
        let expected = (0..<dimension).map { j in
            (0..<1300).reduce(Int64(5)) { $0 + Int64(weights[$1]) * Int64(vectors[Int(rows[$1]) * dimension + j]) }
        }
        #expect(sums == expected)
    }
}
