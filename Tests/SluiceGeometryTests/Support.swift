import SluiceCore
import SluiceGeometry
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Runs pieces on real threads, so that a race or a dependence on the order shows.
func threads(_ width: Int) -> Parallel {
    if width == 1 { return .serial }
    return Parallel(width: width) { pieces, body in
        // Raw threads: each takes every width-th piece, starting from the back, so that orders differ between widths.
        withoutActuallyEscaping(body) { body in
            var ids: [pthread_t] = []
            for t in 1..<width {
                let box = Unmanaged.passRetained(
                    Work { for piece in stride(from: pieces - 1 - t, through: 0, by: -width) { body(piece) } })
                var id = pthread_t()
                pthread_create(
                    &id, nil,
                    {
                        Unmanaged<Work>.fromOpaque($0!).takeRetainedValue().run()
                        return nil
                    }, box.toOpaque())
                ids.append(id)
            }
            for piece in stride(from: pieces - 1, through: 0, by: -width) { body(piece) }
            for id in ids { pthread_join(id, nil) }
        }
    }
}

private final class Work: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Rows of Int8 components in ±limit.
func randomRows(_ count: Int, _ dimension: Int, limit: Int = 127, seed: UInt64) -> [Int8] {
    var generator = SplitMix64(state: seed)
    return (0..<count * dimension).map { _ in Int8(Int(generator.next(below: UInt64(2 * limit + 1))) - limit) }
}

/// Rows around `centres` random centres.
func clusteredRows(_ count: Int, _ dimension: Int, centres: Int, noise: Int = 12, seed: UInt64) -> [Int8] {
    var generator = SplitMix64(state: seed)
    let middle = randomRows(centres, dimension, limit: 60, seed: seed &+ 1)
    var rows: [Int8] = []
    for _ in 0..<count {
        let centre = Int(generator.next(below: UInt64(centres)))
        for j in 0..<dimension {
            rows.append(
                middle[centre * dimension + j] + Int8(Int(generator.next(below: UInt64(2 * noise + 1))) - noise))
        }
    }
    return rows
}

func dot(_ a: ArraySlice<Int8>, _ b: ArraySlice<Int8>) -> Int { zip(a, b).reduce(0) { $0 + Int($1.0) * Int($1.1) } }

func squaredDistance(_ a: ArraySlice<Int8>, _ b: ArraySlice<Int8>) -> Int {
    zip(a, b).reduce(0) { $0 + (Int($1.0) - Int($1.1)) * (Int($1.0) - Int($1.1)) }
}

extension [Int8] {
    func row(_ index: Int, _ dimension: Int) -> ArraySlice<Int8> { self[index * dimension..<(index + 1) * dimension] }
}

/// All squared distances between rows.
func distanceTable(_ rows: [Int8], _ dimension: Int) -> [[Int]] {
    let n = rows.count / dimension
    return (0..<n).map { i in (0..<n).map { squaredDistance(rows.row(i, dimension), rows.row($0, dimension)) } }
}
