/// Finds the language of texts: naive Bayes over the n-grams of `LanguageModel`. Each thread has one.
///
/// Which language wins is decided by integers; its score by additions, multiplications and divisions in a fixed order. So
/// both are the same on every machine. scripts/language.py has the same in Python.
final class LanguageJudge {
    /// A class of the model, and how likely it is beside the others, from 0 to 1.
    typealias Verdict = (winner: Int, score: Double)

    private let model: LanguageModel
    /// The classes that are considered, ascending.
    private let among: [Int]
    /// How often each n-gram is in the text; zeros between texts.
    private let counts: UnsafeMutablePointer<UInt32>
    /// The n-grams of the text, in the order of their first places.
    private let seen: UnsafeMutablePointer<UInt16>
    private let scores: UnsafeMutablePointer<Int64>
    /// A part of a text in lower case, or with its letters and marks put together.
    private var rewritten: [UInt8] = []

    /// Bytes of a judge.
    static let memory = 512 << 10

    private static let part = 32 << 10
    /// The bytes that the longest n-gram reaches back.
    private static let reach = 5

    init(_ model: LanguageModel, among: [Int]) {
        self.model = model
        self.among = among
        counts = .allocate(capacity: model.count)
        counts.initialize(repeating: 0, count: model.count)
        seen = .allocate(capacity: model.count)
        scores = .allocate(capacity: model.names.count)
    }

    deinit {
        counts.deallocate()
        seen.deallocate()
        scores.deallocate()
    }

    /// nil if the text has no n-gram of the model.
    func judge(_ text: UnsafeBufferPointer<UInt8>) -> Verdict? {
        let isInCapitals = Self.isInCapitals(text)
        let grams =
            isInCapitals || Composition.mayChange(text)
            ? countRewritten(text, inLowerCase: isInCapitals) : count(text, from: 0, seenBefore: 0)
        guard grams > 0 else { return nil }
        scores.initialize(repeating: 0, count: model.names.count)
        var whole: Int64 = 0
        for index in 0..<grams {
            let gram = Int(seen[index])
            let weight = Self.weight(counts[gram])
            counts[gram] = 0
            whole += weight
            for place in (gram == 0 ? 0 : Int(model.ends[gram - 1]))..<Int(model.ends[gram]) {
                scores[Int(model.classes[place])] &+= weight &* Int64(model.codes[place])
            }
        }
        let unit = Int64(LanguageModel.unit)
        for index in among {
            scores[index] = scores[index] * (unit / 2) + whole * model.base[index] + model.prior[index] * unit
        }
        return verdict(length: Self.length(of: text))
    }

    private func verdict(length: Int) -> Verdict? {
        guard let winner = among.max(by: { scores[$0] != scores[$1] ? scores[$0] < scores[$1] : $0 > $1 }) else {
            return nil
        }
        // The scores grow with the length of a text, and so does what n-grams that overlap count twice.
        let heat = Double(length).squareRoot() * Double(LanguageModel.unit * LanguageModel.unit)
        var (whole, same) = (0.0, 0.0)
        for index in among {
            let share = Self.exponential(Double(scores[winner] - scores[index]) / heat)
            whole += share
            if model.names[index] == model.names[winner] { same += share }
        }
        return (winner, (same / whole * 10_000).rounded(.toNearestOrEven) / 10_000)
    }

    /// Counts the n-grams that end at `start` or later.
    ///
    /// - Returns: how many different ones the text has so far.
    private func count(_ text: UnsafeBufferPointer<UInt8>, from start: Int, seenBefore: Int) -> Int {
        var grams = seenBefore
        let (counts, seen) = (counts, seen)
        model.forEachGram(in: text, from: start) { gram in
            if counts[gram] == 0 {
                seen[grams] = UInt16(truncatingIfNeeded: gram)
                grams += 1
            }
            counts[gram] &+= 1
        }
        return grams
    }

    private func countRewritten(_ text: UnsafeBufferPointer<UInt8>, inLowerCase: Bool) -> Int {
        rewritten.removeAll(keepingCapacity: true)
        var (place, grams, known) = (0, 0, 0)
        var last: UInt32?
        while place < text.count || last != nil {
            while place < text.count, rewritten.count < Self.part {
                var scalar = Scalars.next(text, &place)
                if inLowerCase { scalar = Scalars.lowerCase(scalar) }
                if let first = last {
                    if let both = model.composition.of(first, scalar) {
                        last = both
                        continue
                    }
                    Scalars.append(first, to: &rewritten)
                }
                last = scalar
            }
            if place == text.count, let first = last {
                Scalars.append(first, to: &rewritten)
                last = nil
            }
            grams = rewritten.withUnsafeBufferPointer { count($0, from: known, seenBefore: grams) }
            rewritten.removeFirst(max(0, rewritten.count - Self.reach))
            known = rewritten.count
        }
        return grams
    }

    /// Whether at least four of five letters of a text are capitals, and there is one.
    private static func isInCapitals(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        let table = Scalars.Table()
        var (place, capitals, others) = (0, 0, 0)
        while place < text.count {
            let kind = table.of(Scalars.next(text, &place))
            guard kind.contains(.letter) else { continue }
            if kind.contains(.capital) { capitals += 1 } else { others += 1 }
            // No text of this length could make up for it.
            if others * 4 > text.count { return false }
        }
        return capitals > 0 && others * 4 <= capitals
    }

    /// The bytes of a text, runs of the same space or sign counted once: padding and rules say nothing.
    private static func length(of text: UnsafeBufferPointer<UInt8>) -> Int {
        var (count, last) = (0, UInt8(0x80))
        for byte in text {
            let isSign = byte < 0x30 || 0x3A...0x40 ~= byte || 0x5B...0x60 ~= byte || 0x7B...0x7F ~= byte
            if !isSign || byte != last { count += 1 }
            last = byte
        }
        return count
    }

    // MARK: Arithmetic

    private static let weights: [Int64] = (0..<256).map { logarithm(1 + UInt64($0)) }

    /// ln(1 + count): the tenth time, an n-gram says less than the first time.
    private static func weight(_ count: UInt32) -> Int64 {
        count < 256 ? weights[Int(count)] : logarithm(1 + UInt64(count))
    }

    /// ln(number), in units of 1/4096, by squaring.
    static func logarithm(_ number: UInt64) -> Int64 {
        let power = 63 - number.leadingZeroBitCount
        var mantissa = (number << 31) >> UInt64(power)
        var found = Int64(power)
        for _ in 0..<16 {
            mantissa = (mantissa * mantissa) >> 31
            found <<= 1
            if mantissa >> 32 != 0 {
                mantissa >>= 1
                found |= 1
            }
        }
        return (found * 45_426) >> 20
    }

    /// exp(-x), by arithmetic that IEEE 754 fixes.
    static func exponential(_ x: Double) -> Double {
        guard x <= 80 else { return 0 }
        let y = x / -256
        var value = 1.0
        for term in stride(from: 6.0, to: 0, by: -1) { value = 1 + y / term * value }
        for _ in 0..<8 { value *= value }
        return value
    }
}
