/// How a budget is split among groups.
public enum Shares: String, CaseIterable, Sendable {
    case proportional
    case squareRoot = "square-root"
    case equal

    private func weight(_ size: Int) -> Int {
        switch self {
        case .proportional: return size
        case .squareRoot:
            // In units of 2^-15, rounded down: an integer, so shares are exact ratios.
            guard size < 1 << 32 else { return Int(Double(size).squareRoot() * 32_768) }
            var root = Int((Double(size) * 1_073_741_824).squareRoot())
            while root * root > size << 30 { root -= 1 }
            return root
        case .equal: return size == 0 ? 0 : 1
        }
    }

    /// Splits `total` by largest remainders: the shares sum to `total` exactly, none exceeds its group, the excess of a
    /// small group goes to the others by the same rule, and ties go to the lowest group.
    ///
    /// - Parameter whole: the sizes by which the shares are measured, where `sizes` are less: caps.
    /// - Precondition: `0 <= total <= sum of sizes`.
    public func part(_ total: Int, among sizes: [Int], of whole: [Int]? = nil) -> [Int] {
        var quotas = [Int](repeating: 0, count: sizes.count)
        let weights = (whole ?? sizes).enumerated().map { sizes[$0] == 0 ? 0 : weight($1) }
        var open = sizes.indices.filter { sizes[$0] > 0 }
        var rest = total
        while rest > 0 {
            let sum = open.reduce(0) { $0 + weights[$1] }
            // Groups whose share is at least their size get their size, and the others share the rest.
            let full = open.filter { index in
                let share = rest.multipliedFullWidth(by: weights[index])
                let most = sizes[index].multipliedFullWidth(by: sum)
                return (share.high, share.low) >= (most.high, most.low)
            }
            guard full.isEmpty else {
                for index in full {
                    quotas[index] = sizes[index]
                    rest -= sizes[index]
                }
                // A nonzero quota marks a full group: every open group has records and no quota yet.
                open.removeAll { quotas[$0] > 0 }
                continue
            }
            var remainders: [(remainder: Int, index: Int)] = []
            var given = 0
            for index in open {
                let (quotient, remainder) = sum.dividingFullWidth(rest.multipliedFullWidth(by: weights[index]))
                quotas[index] = quotient
                given += quotient
                remainders.append((remainder, index))
            }
            remainders.sort { $0.remainder != $1.remainder ? $0.remainder > $1.remainder : $0.index < $1.index }
            for (_, index) in remainders.prefix(rest - given) { quotas[index] += 1 }
            rest = 0
        }
        return quotas
    }

    /// The same, with at least `floor` records for every group, or all that it has: groups whose share would be smaller
    /// get that, and the others share the rest.
    ///
    /// - Returns: nil if the floors alone exceed `total`.
    public func part(_ total: Int, among sizes: [Int], floor: Int, of whole: [Int]? = nil) -> [Int]? {
        let least = sizes.map { min($0, floor) }
        guard least.reduce(0, +) <= total else { return nil }
        var fixed = [Bool](repeating: false, count: sizes.count)
        while true {
            let rest = total - sizes.indices.reduce(0) { $0 + (fixed[$1] ? least[$1] : 0) }
            let shares = part(rest, among: sizes.indices.map { fixed[$0] ? 0 : sizes[$0] }, of: whole)
            let short = sizes.indices.filter { !fixed[$0] && shares[$0] < least[$0] }
            if short.isEmpty { return sizes.indices.map { fixed[$0] ? least[$0] : shares[$0] } }
            for index in short { fixed[index] = true }
        }
    }
}
