import SluiceCore
import Testing

@testable import RedundancyFilter

/// What a near duplicate's text must have in common with another before it is dropped.
@Suite struct ConfirmationTests {
    private func read(_ text: String) -> (traits: TextTraits, pairs: WordPairs, hashes: Set<UInt32>) {
        var (traits, pairs, hashes) = (TextTraits(), WordPairs(), Set<UInt32>())
        Array(text.utf8).withUnsafeBufferPointer { bytes in
            traits.read(bytes) {
                pairs.add($0)
                hashes.insert($0)
            }
        }
        return (traits, pairs, hashes)
    }

    private func overlap(_ a: String, _ b: String) -> Double {
        let bytes = [a, b].map { text in
            var bytes: [Int8] = []
            read(text).pairs.append(to: &bytes)
            return bytes
        }
        #expect(bytes.allSatisfy { $0.count == WordPairs.bytes })
        let found = bytes[0].withUnsafeBufferPointer { a in
            bytes[1].withUnsafeBufferPointer { b in WordPairs.overlap(a.baseAddress!, b.baseAddress!) }
        }
        return Double(found.common) / Double(found.of)
    }

    // MARK: Numbers and operators

    @Test(arguments: [
        ("What is 5 + 3?", "What is 5 + 4?"), ("1.5 litres", "15 litres"), ("1.50", "1.5"), ("5 3", "53"),
        ("3 and 5", "5 and 3"), ("x2", "x3"), ("room 101", "room"), ("3,5", "3.5"), ("٣ apples", "4 apples"),
        ("½ cup", "¼ cup"),
        ("सेब ३", "सेब ४"), ("图①", "图②"), ("๓ ตัว", "๔ ตัว"), ("Ⅳ", "Ⅴ"),
    ]) func otherNumbers(a: String, b: String) {
        #expect(read(a).traits.numbers != read(b).traits.numbers)
    }

    @Test(arguments: [
        ("What is 5 + 3?", "what is 5+3"), ("chapter 7.", "Chapter 7"), ("(5)", "5"), ("5, then 3", "5 - 3"),
        ("٣ apples", "3 apples"), ("３", "3"), ("no numbers", "none at all"),
        ("३ फल", "3 फल"),
    ]) func equalNumbers(a: String, b: String) {
        #expect(read(a).traits.numbers == read(b).traits.numbers)
    }

    @Test(arguments: [
        ("What is 5 + 3?", "What is 5 - 3?"), ("x**2", "x//2"), ("a < b", "a > b"), ("a <= b", "a < b"),
        ("a && b", "a || b"), ("!done", "done"), ("a != b", "a = b"), ("2 × 3", "2 ÷ 3"), ("A → B", "B ← A"),
        ("(5 + 3) * 2", "5 + (3 * 2)"), ("x²", "x2"), ("$5", "€5"), ("$5", "5"), ("50%", "50"), ("-3", "3"),
        ("x ∈ A", "x ∉ A"), ("f(1)[2]", "f(1){2}"), ("~x", "x"), ("a\\b", "a b"),
    ]) func otherOperators(a: String, b: String) {
        #expect(read(a).traits.operators != read(b).traits.operators)
    }

    @Test(arguments: [
        ("x ** 2", "x**2"), ("state-of-the-art", "state of the art"), ("5 − 3", "5 - 3"), ("5 – 3", "5 - 3"),
        ("Stop!", "Stop."), ("(see above)", "see above"), ("Wait! What?", "wait, what"), ("１＋２", "1+2"),
        ("\"quoted\"", "quoted"), ("isn't", "isn’t"),
    ]) func equalOperators(a: String, b: String) {
        #expect(read(a).traits.operators == read(b).traits.operators)
    }

    // MARK: Words

    @Test func theOrderOfWordsCounts() {
        #expect(overlap("Tom likes Ann", "Ann likes Tom") == 0)
        #expect(overlap("Tom likes Ann.", "tom  LIKES ann") == 1)
        #expect(overlap("", "...") == 1)
        #expect(overlap("word", "") == 0)
        #expect(overlap("word", "other") == 0)
        // None-the, the-cat, cat-sat, sat-none; none-the, the-cat, cat-ran, ran-none.
        #expect(overlap("The cat sat", "The cat ran") == 2.0 / 6)
        #expect(overlap("猫が好き", "猫が好き。") == 1)
        #expect(overlap("猫が好き", "犬が好き") < 0.8)
    }

    /// The share of pairs in common, counted in sets of the same hashes: equal for short texts, near for long ones.
    @Test func theOverlapIsThatOfSets() {
        var generator = SplitMix64(state: 7)
        var (squares, bias, count) = (0.0, 0.0, 0)
        for _ in 0..<600 {
            let length = 1 + Int(generator.next(below: 300))
            let vocabulary = UInt64(20 + generator.next(below: 2000))
            var words = (0..<length).map { _ in "w\(generator.next(below: vocabulary))" }
            let first = words.joined(separator: " ")
            let edits = Int(generator.next(below: UInt64(1 + length / 4)))
            for _ in 0..<edits { words[Int(generator.next(below: UInt64(length)))] = "x\(generator.next(below: 99))" }
            let second = words.joined(separator: " ")
            let (a, b) = (read(first).hashes, read(second).hashes)
            let exact = Double(a.intersection(b).count) / Double(a.union(b).count)
            let found = overlap(first, second)
            if a.count <= 31, b.count <= 31 {
                #expect(found == exact)
            } else {
                squares += (found - exact) * (found - exact)
                bias += found - exact
                count += 1
            }
        }
        #expect(count > 400)
        // The standard error of 127 draws is at most √(1/4 / 127) = 0.044.
        #expect((squares / Double(count)).squareRoot() < 0.045)
        #expect(abs(bias / Double(count)) < 0.01)
    }

    @Test func textsOfTheSamePairsAreEqualHoweverLong() {
        let long = (0..<5000).map { "word\($0 * 7919 % 3001)" }.joined(separator: " ")
        #expect(overlap(long, long.uppercased()) == 1)
        let other = (0..<5000).map { "term\($0 * 7919 % 3001)" }.joined(separator: " ")
        #expect(overlap(long, other) < 0.1)
    }

    // MARK: Options

    @Test(
        arguments: [
            ["overlap": 1.5], ["overlap": "equal"], ["numbers": "same"], ["numbers": 0.5], ["words": 0.5],
        ] as [OptionValue]) func wrongEntriesAreNamed(entries: OptionValue)
    {
        let found = RedundancyStage.descriptor.resolving(["confirm": entries])
        if found.problems.isEmpty {
            let error = #expect(throws: StageError.self) { try RedundancyStage(options: found.values) }
            #expect(error?.option == "confirm")
        }
    }

    @Test func itGoesWithPairs() {
        let error = #expect(throws: StageError.self) {
            try RedundancyStage.make(["method": "lift", "confirm": "none"])
        }
        #expect(error?.option == "confirm")
    }

    /// The vectors decide: those of `lexical` and `lsa` need confirmation, those of others don't.
    @Test func theVectorsDecideTheDefault() throws {
        func stage(_ options: OptionValues, needs: Bool, hasText: Bool = true) throws -> (RedundancyStage, [ColumnSpec])
        {
            let specs =
                (hasText ? [ColumnSpec(.text, .bytes)] : [])
                + [ColumnSpec(.embedding, .vector(dimension: 8), needsConfirmation: needs)]
            return (try RedundancyStage.make(options).adapted(to: specs), specs)
        }
        func reads(_ options: OptionValues, needs: Bool, hasText: Bool = true) throws -> Bool {
            try stage(options, needs: needs, hasText: hasText).0.reads.contains(.column(.text, .bytes))
        }
        #expect(try reads([:], needs: true) && !reads([:], needs: false))
        #expect(try !reads(["confirm": "none"], needs: true))
        #expect(try reads(["confirm": ["overlap": 0.5]], needs: false))
        // Without texts there is nothing to compare, and a person is told.
        #expect(try !reads([:], needs: true, hasText: false))
        func warnings(_ options: OptionValues, needs: Bool, hasText: Bool) throws -> [String] {
            let (stage, specs) = try stage(options, needs: needs, hasText: hasText)
            return stage.warnings(after: specs)
        }
        #expect(try warnings([:], needs: true, hasText: false).first?.contains("put `format` first") == true)
        #expect(try warnings([:], needs: true, hasText: true) == [])
        #expect(try warnings(["confirm": "none"], needs: true, hasText: false) == [])
    }
}
