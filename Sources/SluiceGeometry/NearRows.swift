/// The earlier rows within a limit of a row, of which the nearest is not confirmed.
struct NearRows {
    let limit: Int32
    private var rows: [(distance: Int32, place: Int)] = []

    init(limit: Int32) { self.limit = limit }

    mutating func add(_ distance: Int32, _ place: Int) {
        if distance <= limit { rows.append((distance, place)) }
    }

    /// Adds the rows of a panel that are near enough.
    ///
    /// - Parameters:
    ///   - places: the positions of the panel's rows in the order; `norms`: their squared norms.
    ///   - vector: the row that is compared, and `norm` its squared norm.
    mutating func add(
        _ panel: Packed, _ places: [Int], _ norms: [Int32], _ vector: UnsafePointer<Int8>, _ norm: Int32
    ) {
        let products = Buffer<Int32>(panel.count)
        panel.products(vector, count: 1, into: products.base, stride: panel.count)
        for (index, place) in places.enumerated() { add(norm + norms[index] - 2 * products[index], place) }
    }

    /// The nearest row that is confirmed, ties to the earliest.
    ///
    /// - Parameters:
    ///   - nearest: the squared distance to the nearest of all.
    ///   - refused: a row that is known not to be confirmed.
    mutating func outcome<Failure>(
        of row: Int, nearest: Int32, refused: Int, _ confirm: (Int, Int) throws(Failure) -> Bool
    ) throws(Failure) -> PairwiseFilter.Outcome {
        rows.sort { ($0.distance, $0.place) < ($1.distance, $1.place) }
        var outcome = PairwiseFilter.Outcome(partner: nil, squaredDistance: nearest)
        for other in rows {
            if other.place != refused, try confirm(row, other.place) {
                outcome.partner = other.place
                outcome.squaredDistance = other.distance
                return outcome
            }
            outcome.refused += 1
        }
        return outcome
    }
}
