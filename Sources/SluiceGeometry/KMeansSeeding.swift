import CVectorKernels
public import SluiceCore

extension KMeans {
    /// The rows that k-means++ starts from: the first uniform, each next one drawn with a probability in exact proportion to its
    /// squared distance to the nearest one so far. Where all rows coincide with one, the lowest rows left.
    public func seeds(_ vectors: VectorView, parallel: Parallel = .serial) -> [Int] {
        guard vectors.count > 0 else { return [] }
        var generator = seed.generator()
        return Self.start(vectors, count: clusters, generator: &generator, parallel: parallel).rows
    }

    /// k-means++ in few passes, with exactly its distribution. A draw is made with the distances of the last pass, which are too
    /// large by now, and accepted in the share that the row's true distance has in them; only that row's distance to the centres since
    /// the last pass must be known for it. The generator gives integers under integer bounds, so nothing is rounded. The next pass comes when
    /// there are a quarter more centres (32 at least) or as many refusals: a rule of the data alone. All k starts cost about one Lloyd iteration,
    /// which is why there's no need of k-means|| even where k is large.
    static func start(
        _ vectors: VectorView, count clusters: Int, generator: inout SplitMix64, parallel: Parallel
    ) -> (rows: [Int], centres: NearestCentres) {
        let count = min(clusters, vectors.count)
        let state = NearestCentres(rows: vectors.count, dimension: vectors.dimension)
        let pieces = (vectors.count + pieceRows - 1) / pieceRows
        let sums = Buffer<UInt64>(pieces)
        var rows: [Int] = []

        func choose(_ row: Int) {
            rows.append(row)
            state.add(vectors.row(row))
        }
        func pass() {
            guard state.pending > 0 else { return }
            state.begin(parallel)
            state.fold(0..<vectors.count, vectors.base, parallel)
            state.end()
            let least = state.least
            parallel.pieces(of: vectors.count) { range in
                var sum: UInt64 = 0
                for row in range { sum &+= UInt64(UInt32(bitPattern: least.base[row])) }
                sums[range.lowerBound / pieceRows] = sum
            }
        }

        choose(Int(generator.next(below: UInt64(vectors.count))))
        let scratch = Buffer<Int32>(count + 32)
        while rows.count < count {
            pass()
            var ends: [UInt64] = []
            var total: UInt64 = 0
            for piece in 0..<pieces {
                total += sums[piece]
                ends.append(total)
            }
            if total == 0 {
                let taken = rows.sorted()
                var next = taken[...]
                for row in 0..<vectors.count where rows.count < count {
                    if next.first == row { next.removeFirst() } else { choose(row) }
                }
                break
            }
            let batch = max(32, rows.count / 4)
            var refusals = 0
            while rows.count < count, state.pending < batch, refusals < batch {
                var rest = generator.next(below: total)
                var low = 0
                var high = pieces - 1
                while low < high {
                    let middle = (low + high) / 2
                    if ends[middle] > rest { high = middle } else { low = middle + 1 }
                }
                if low > 0 { rest -= ends[low - 1] }
                var row = low * pieceRows
                while rest >= UInt64(state.least[row]) {
                    rest -= UInt64(state.least[row])
                    row += 1
                }
                let distance = state.leastToPending(vectors.row(row), norm: state.norm(row), scratch: scratch.base)
                if rest < UInt64(min(distance, state.least[row])) { choose(row) } else { refusals += 1 }
            }
        }
        pass()
        return (rows, state)
    }
}
