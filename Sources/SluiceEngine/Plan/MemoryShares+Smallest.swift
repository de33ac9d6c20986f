import SluiceCore

/// What is missing in a budget that is too small, and the smallest one that is enough.
extension MemoryShares {
    var fits: Bool { missing.bytes <= 0 }

    /// The phase that lacks the most memory, and how much; if that is not positive, nothing is missing.
    private var missing: (load: Load?, bytes: Int) {
        var worst: (load: Load?, bytes: Int) = (nil, leastReading - room)
        for load in loads {
            let bytes = load.bytes + Self.leastLedger - room
            if bytes > max(0, worst.bytes) { worst = (load, bytes) }
        }
        return worst
    }

    /// - Parameter least: the smallest sufficient budget.
    func refusal(least: Int) -> EngineError {
        let worst = missing
        guard let load = worst.load, let need = load.need else {
            // Up to a quarter of the total leaves enough for the other parts.
            let advice =
                copies.most > room / 4
                ? ", of which records of up to `max_record: \(MemorySize.spell(copies.longest))` take \(MemorySize.describe(copies.most))"
                : ""
            return EngineError(
                .resources,
                "`memory: \(MemorySize.describe(total))` is too little for \(Self.count(threads, "thread")); it needs at least \(MemorySize.spell(least))\(advice)"
            )
        }
        // A stage's advice depends on the memory it could get; if reading has too little, there is none.
        var advice: String?
        if case .survey(let memory) = need.kind, leastReading <= room { advice = memory.advice }
        if advice == nil, need.longestRow > load.own / 2 {
            advice =
                "lower `max_record`: a record of \(MemorySize.spell(copies.longest)) takes \(MemorySize.describe(need.longestRow)) there"
        }
        return refusal(
            need.stage, "", needs: load.own, share: load.own - worst.bytes, least: least, advice: advice)
    }

    func refusal(
        _ stage: String, _ purpose: String, needs bytes: Int, share: Int, least: Int, advice: String?
    ) -> EngineError {
        let (needed, available) = MemorySize.describe(bytes, beside: max(0, share))
        return EngineError(
            .resources,
            "stage `\(stage)` needs \(needed)\(purpose), but its share of `memory: \(MemorySize.describe(total))` is \(available); the run needs at least \(MemorySize.spell(least))\(advice.map { ", or \($0)" } ?? "")"
        )
    }

    /// The smallest whole number of MiB whose shares are good, provided that all larger ones are good, too.
    func smallest(_ isGood: (MemoryShares) -> Bool) -> Int {
        Self.smallest { size in
            isGood(MemoryShares(definition, total: size, threads: threads, demand))
        }
    }

    /// The smallest whole number of MiB, in bytes, that is good, provided that all larger ones are good, too.
    static func smallest<E>(_ isGood: (_ total: Int) throws(E) -> Bool) throws(E) -> Int {
        var (low, high) = (0, 1)
        while high < 1 << 40, try !isGood(high << 20) { (low, high) = (high, high * 2) }
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if try isGood(middle << 20) { high = middle } else { low = middle }
        }
        return high << 20
    }

    /// The smallest sufficient budget for everything known.
    package var smallest: Int { smallest { $0.fits } }

    /// The smallest budget that unpacks a zstd window of this many bytes.
    func smallest(window: Int) -> Int { smallest { $0.fits && $0.window >= window } }

    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}
