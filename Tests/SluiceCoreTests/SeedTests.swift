import SluiceCore
import Testing

@Suite struct SeedTests {
    /// The sequence of the reference implementation of SplitMix64 (prng.di.unimi.it) for the seed 1234567.
    @Test func generatorGivesTheReferenceSequence() {
        var generator = SplitMix64(state: 1_234_567)
        let draws = (0..<5).map { _ in generator.next() }
        #expect(
            draws == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
    }

    @Test func drawsBelowABoundAreUniform() {
        var generator = Seed(7).generator()
        var counts = [Int](repeating: 0, count: 10)
        for _ in 0..<100_000 { counts[Int(generator.next(below: 10))] += 1 }
        // Chi-square with 9 degrees of freedom is below 27.9 with probability 0.999.
        let chiSquare = counts.reduce(0.0) { $0 + Double(($1 - 10_000) * ($1 - 10_000)) / 10_000 }
        #expect(chiSquare < 27.9)
        #expect(generator.next(below: 1) == 0)
    }

    @Test func contentDrawsAreUniformForHashesInARow() {
        var counts = [Int](repeating: 0, count: 16)
        for low in 0..<16_000 { counts[Int(Seed(42).draw(ContentHash(high: 0, low: UInt64(low))) >> 60)] += 1 }
        let chiSquare = counts.reduce(0.0) { $0 + Double(($1 - 1_000) * ($1 - 1_000)) / 1_000 }
        #expect(chiSquare < 37.7)
    }

    @Test func derivedSeedsDifferByNameIndexAndSeed() {
        let seeds: Set<UInt64> = [
            Seed(1).derived(for: "a").value, Seed(1).derived(for: "b").value, Seed(1).derived(for: "a", index: 1).value,
            Seed(2).derived(for: "a").value, Seed(1).derived(for: "").value,
        ]
        #expect(seeds.count == 5)
        #expect(Seed(1).derived(for: "a") == Seed(1).derived(for: "a"))
    }
}

@Suite struct OrdinalTests {
    @Test(arguments: [(0, 1), (3, 17), (Ordinal.maximumFiles - 1, Ordinal.maximumLine)])
    func packsFileAndLine(file: Int, line: Int) {
        let ordinal = Ordinal(file: file, line: line)
        #expect(ordinal.file == file && ordinal.line == line)
        #expect(Ordinal(rawValue: ordinal.rawValue) == ordinal)
    }

    @Test func isOrderedByFileThenLine() {
        let ordinals = [
            Ordinal(file: 0, line: 1), .init(file: 0, line: 2), .init(file: 1, line: 1), .init(file: 200, line: 1),
        ]
        #expect(ordinals.sorted() == ordinals)
    }
}

@Suite struct ChatTurnsTests {
    private func piece(_ text: String) -> [UInt8] {
        let count = UInt32(text.utf8.count)
        return (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + Array(text.utf8)
    }

    @Test func givesTheTurnsInOrder() {
        let bytes = piece("user") + piece("What is 2+2?") + piece("assistant") + piece("")
        let turns = Array(ChatTurns(encoded: bytes[...]))
        #expect(turns.map { String(decoding: $0.role, as: UTF8.self) } == ["user", "assistant"])
        #expect(turns.map { String(decoding: $0.content, as: UTF8.self) } == ["What is 2+2?", ""])
    }

    @Test func readsPiecesLongerThanAByteCanCount() {
        let long = String(repeating: "x", count: 70_000)
        #expect(Array(ChatTurns(encoded: (piece("user") + piece(long))[...])).first?.content.count == 70_000)
    }

    @Test func endsWhereBytesAreMissing() {
        let bytes = piece("user") + piece("cut")
        for length in 0..<bytes.count { #expect(Array(ChatTurns(encoded: bytes[..<length])).isEmpty) }
    }
}

@Suite struct NearestTests {
    @Test(arguments: [
        ("corset", "coreset"), ("coresets", "coreset"), ("emebd", "embed"), ("EMBED", "embed"), ("clutser", "cluster"),
    ])
    func findsSlipsOfTheKeyboard(name: String, expected: String) {
        #expect(Registry.nearest(to: name, in: ["cluster", "coreset", "embed", "format"]) == expected)
    }

    @Test func staysSilentWhereNothingIsNear() {
        #expect(Registry.nearest(to: "tokenize", in: ["cluster", "coreset", "embed"]) == nil)
        #expect(Registry.nearest(to: "x", in: []) == nil)
    }
}

@Suite struct MemoryBudgetTests {
    @Test func leasesComeBackByThemselves() throws {
        let budget = MemoryBudget(total: 100)
        do {
            let first = try budget.lease(60, for: "table")
            #expect(first.bytes == 60 && budget.available == 40)
        }
        #expect(budget.available == 100 && budget.peak == 60)
    }

    @Test func refusalSaysWhatIsMissing() {
        let budget = MemoryBudget(total: 1 << 20)
        do throws(StageError) {
            let lease = try budget.lease(3 << 20, for: "the reservoir")
            Issue.record("3 MiB of 1 MiB were leased: \(lease.bytes)")
        } catch {
            #expect(error.code == .memory)
            #expect(
                error.message
                    == "the reservoir needs 3 MiB, but 1 MiB of the budget of 1 MiB is left; the run needs at least 3MiB"
            )
        }
        #expect(budget.available == 1 << 20)
    }

    @Test func aRefusedLeaseTakesNothing() throws {
        let budget = MemoryBudget(total: 100) { _, purpose in purpose == "refused" }
        let held = try budget.lease(40, for: "held")
        #expect(throws: StageError.self) { _ = try budget.lease(1, for: "refused") }
        #expect(budget.available == 60 && budget.peak == 40 && held.bytes == 40)
    }

    @Test func theSpelledSizeIsNeverLess() {
        for bytes in [0, 1, 1 << 20, (1 << 20) + 1, 57 << 20, (57 << 20) - 1, 1105 << 20] {
            let parsed = MemorySize.parse(MemorySize.spell(bytes)) ?? -1
            #expect(parsed >= bytes && parsed < bytes + (1 << 20))
        }
    }
}
