import Glibc
import SluiceBudgets
import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

@Suite struct SharesTests {
    @Test func everyBudgetIsPartedExactly() {
        var generator = Seed(3).generator()
        for _ in 0..<2000 {
            let sizes = (0..<Int(generator.next(below: 20) + 1)).map { _ in
                Int(generator.next(below: 1 << generator.next(below: 12)))
            }
            let total = sizes.reduce(0, +)
            let budget = Int(generator.next(below: UInt64(total + 1)))
            for shares in Shares.allCases {
                let quotas = shares.part(budget, among: sizes)
                #expect(quotas.reduce(0, +) == budget)
                #expect(zip(quotas, sizes).allSatisfy { $0 >= 0 && $0 <= $1 })
            }
        }
    }

    @Test func knownParts() {
        #expect(Shares.proportional.part(10, among: [50, 30, 20]) == [5, 3, 2])
        #expect(Shares.proportional.part(4, among: [10, 10, 10]) == [2, 1, 1])
        #expect(Shares.equal.part(10, among: [100, 1, 100]) == [5, 1, 4])
        #expect(Shares.equal.part(9, among: [2, 100, 1]) == [2, 6, 1])
        #expect(Shares.squareRoot.part(30, among: [100, 400]) == [10, 20])
        #expect(Shares.proportional.part(7, among: [0, 7, 0]) == [0, 7, 0])
        #expect(
            Shares.proportional.part(3_000_000_000, among: [2_000_000_000, 2_000_000_000]) == [
                1_500_000_000, 1_500_000_000,
            ])
    }
}
