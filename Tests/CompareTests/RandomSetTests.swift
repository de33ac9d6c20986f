import SluiceCore
import Testing

@testable import SluiceCommand

/// The random sets that `compare` holds a run against.
@Suite struct RandomSetTests {
    /// The rows of a set are those with the lowest draws, the first ones where draws are equal, for any size up to the
    /// most, and most rows are never written.
    @Test(arguments: [(0, 5), (3, 5), (900, 40), (50_000, 700), (50_000, 49_999)])
    func randomSetsAreTheLowestDraws(records: Int, most: Int) throws {
        var set = try RandomSet(most: most)
        // Some rows are copies, and copies have equal draws.
        let draws = (0..<records).map { Seed(7).draw(ContentHash(high: UInt64($0 % 7 == 0 ? 1 : $0), low: 0)) }
        var written = 0
        for (row, draw) in draws.enumerated() where try set.offer(draw, row: row) { written += 1 }
        let order = draws.indices.sorted { (draws[$0], $0) < (draws[$1], $1) }
        for size in [most, most / 2, 1] {
            var found: [Int] = []
            try set.forEachPiece(size, of: 64) {
                #expect(!$0.isEmpty && $0.count <= 64)
                found += $0
            }
            #expect(found == order.prefix(size).sorted())
        }
        #expect(records != 50_000 || most > 700 || written < 10_000, "\(written)")
    }
}
