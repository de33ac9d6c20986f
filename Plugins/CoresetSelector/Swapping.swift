import SluiceCore
import SluiceGeometry

extension Picker {
    /// Lowers the radius of a choice by swaps, where its bound says that there is room.
    func swapPicks(of choice: inout Choice) throws(StageError) {
        guard swaps > 0, choice.picks.count < rows.count, let before = choice.certificate,
            before.factor.map({ $0 > 1 }) ?? true
        else { return }
        let picks = choice.picks
        let search = try rows.withAll(memory: context.memory, for: "`swaps`") { view in
            withEarlier { earlier in
                var search = RadiusSwaps(view, picks: picks, already: earlier, parallel: context.parallel)
                search.search(most: swaps, parallel: context.parallel) { context.isStopped }
                return search
            }
        }
        choice.notes += [
            JSONValue.Entry("swaps", .integer(search.swaps)),
            JSONValue.Entry("radius_before_swaps", .real(before.radius)),
        ]
        guard search.swaps > 0 else { return }
        choice.picks = search.picks
        choice.nearest = search.nearest
        choice.squaredDistances = search.squaredDistances
        choice.certificate = before.covering(
            squaredDistances: search.squaredDistances, Quantizer(dimension: rows.dimension), parallel: context.parallel)
    }
}
