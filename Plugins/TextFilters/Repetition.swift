import SluiceCore

/// Counts what repeats in a text: lines, paragraphs, n-grams of words. One value serves one thread, for any text.
///
/// Repeats are found by hashes of 64 bits: of the 131,072 units that are looked at in a text, the probability that any two
/// different ones are taken for equal is 5·10⁻¹⁰.
final class Repetition {
    /// Units of a text that are looked at: more words than Gopher's longest text may have.
    static let mostUnits = 1 << 17

    /// Bytes at its largest: hashes and lengths of the words, and the table.
    static let memory = mostUnits * (8 + 4) + 2 * mostUnits * MemoryLayout<Slot>.stride + (64 << 10)

    /// How many units repeat an earlier one, and their characters.
    struct Repeats {
        var all = 0
        var repeated = 0
        var characters = 0
    }

    private struct Slot {
        var hash: UInt64 = 0
        /// The text and rule that wrote the slot; another one is empty.
        var round: UInt32 = 0
        var count: UInt32 = 0
        var first: UInt32 = 0
    }

    private var slots: [Slot] = []
    private var round: UInt32 = 0
    private var words: [UInt64] = []
    private var lengths: [UInt32] = []
    private var hasWords = false
    /// The least n of which all n-grams of the text are known to differ; so do all longer ones then.
    private var differentFrom = Int.max

    /// Forgets the text before.
    func begin() { (hasWords, differentFrom) = (false, .max) }

    // MARK: Lines and paragraphs

    /// - Parameter counts: whether a line counts.
    func lines(of text: UnsafeBufferPointer<UInt8>, where counts: (Range<Int>) -> Bool) -> Repeats {
        // The number of lines is not known before; a text has at most one for each two bytes.
        withTable(atMost: text.count / 2 + 1) { table in
            var found = Repeats()
            text.forEachLine { line in
                if counts(line) { Self.add(line, of: text, to: &found, &table) }
            }
            return found
        }
    }

    /// Paragraphs are separated by two or more `\n`.
    func paragraphs(of text: UnsafeBufferPointer<UInt8>, within inner: Range<Int>) -> Repeats {
        withTable(atMost: text.count / 3 + 1) { table in
            var found = Repeats()
            var start = inner.lowerBound
            var place = start
            while place < inner.upperBound {
                guard text[place] == 0x0A, place + 1 < inner.upperBound, text[place + 1] == 0x0A else {
                    place += 1
                    continue
                }
                Self.add(start..<place, of: text, to: &found, &table)
                while place < inner.upperBound, text[place] == 0x0A { place += 1 }
                start = place
            }
            if start < inner.upperBound { Self.add(start..<inner.upperBound, of: text, to: &found, &table) }
            return found
        }
    }

    private static func add(
        _ range: Range<Int>, of text: UnsafeBufferPointer<UInt8>, to found: inout Repeats, _ table: inout Table
    ) {
        guard found.all < mostUnits else { return }
        let unit = UnsafeBufferPointer(rebasing: text[range])
        found.all += 1
        guard table.note(hash(unit), 0).count > 1 else { return }
        found.repeated += 1
        found.characters += TextCounts.characters(of: unit)
    }

    // MARK: N-grams

    /// The characters of the n-gram that occurs most often, spaces included, times its occurrences; the first one of
    /// several. 0 if none occurs twice.
    func top(_ n: Int, of text: UnsafeBufferPointer<UInt8>, _ table: Scalars.Table) -> Int {
        read(text, table)
        guard words.count >= n, n < differentFrom else { return 0 }
        let (best, first) = withTable(atMost: words.count) { table in
            var (best, first): (UInt32, Int) = (1, 0)
            forEachGram(n) { start, hash in
                let slot = table.note(hash, start)
                if slot.count > best || slot.count == best && best > 1 && Int(slot.first) < first {
                    (best, first) = (slot.count, Int(slot.first))
                }
                return start + 1
            }
            return (best, first)
        }
        guard best > 1 else {
            differentFrom = n
            return 0
        }
        return (lengths[first..<(first + n)].reduce(0) { $0 + Int($1) } + n - 1) * Int(best)
    }

    /// The characters of the words in n-grams that occurred before, none counted twice.
    func repeated(_ n: Int, of text: UnsafeBufferPointer<UInt8>, _ table: Scalars.Table) -> Int {
        read(text, table)
        guard words.count >= n, n < differentFrom else { return 0 }
        let lengths = lengths
        let characters = withTable(atMost: words.count) { table in
            var characters = 0
            forEachGram(n) { start, hash in
                guard table.note(hash, start).count > 1 else { return start + 1 }
                for word in start..<(start + n) { characters += Int(lengths[word]) }
                return start + n
            }
            return characters
        }
        if characters == 0 { differentFrom = n }
        return characters
    }

    private static let base: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// Calls `body` with an n-gram's first word and its hash, a polynomial in those of its words; `body` returns the next.
    @inline(__always)
    private func forEachGram(_ n: Int, _ body: (Int, UInt64) -> Int) {
        let words = words
        var power: UInt64 = 1
        for _ in 1..<n { power = power &* Self.base }
        var sum: UInt64 = 0
        var next = 0
        for end in 0..<words.count {
            if end >= n { sum = sum &- words[end - n] &* power }
            sum = sum &* Self.base &+ words[end]
            let start = end - n + 1
            if start >= 0, start == next { next = body(start, Seed.mix(sum)) }
        }
    }

    /// Hashes the words of the text, once for all rules.
    private func read(_ text: UnsafeBufferPointer<UInt8>, _ table: Scalars.Table) {
        guard !hasWords else { return }
        hasWords = true
        // Taken out of the object: an access to its properties for each word would cost as much as the word.
        var words: [UInt64] = [], lengths: [UInt32] = []
        swap(&words, &self.words)
        swap(&lengths, &self.lengths)
        defer {
            swap(&words, &self.words)
            swap(&lengths, &self.lengths)
        }
        words.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        func add(_ hash: UInt64, _ length: UInt32) {
            words.append(Seed.mix(hash ^ UInt64(length) << 56))
            lengths.append(length)
        }
        if words.capacity == 0 {
            words.reserveCapacity(Self.mostUnits)
            lengths.reserveCapacity(Self.mostUnits)
        }
        var place = 0
        var hash: UInt64 = 0
        var length: UInt32 = 0
        var room = Self.mostUnits
        while place < text.count, room > 0 {
            let scalar = Scalars.next(text, &place)
            if !table.of(scalar).contains(.space) {
                hash = (hash ^ UInt64(scalar)) &* 0x2545_F491_4F6C_DD1D
                hash ^= hash >> 29
                length += 1
            } else if length > 0 {
                add(hash, length)
                room -= 1
                (hash, length) = (0, 0)
            }
        }
        if length > 0, room > 0 { add(hash, length) }
    }

    // MARK: The table

    private static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash = UInt64(bytes.count) &* base
        let raw = UnsafeRawBufferPointer(bytes)
        var place = 0
        while place + 8 <= raw.count {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: place, as: UInt64.self))
            hash = Seed.mix(hash ^ word)
            place += 8
        }
        var rest: UInt64 = 0
        while place < raw.count {
            rest = rest << 8 | UInt64(raw[place])
            place += 1
        }
        return Seed.mix(hash ^ rest)
    }

    /// Calls `body` with an empty table that has room for some units.
    private func withTable<Result>(atMost units: Int, _ body: (inout Table) -> Result) -> Result {
        var size = 1024
        while size < 2 * min(units, Self.mostUnits) { size *= 2 }
        if size > slots.count {
            slots = []
            slots = [Slot](repeating: Slot(), count: size)
            round = 0
        }
        if round == .max {
            for index in slots.indices { slots[index] = Slot() }
            round = 0
        }
        round += 1
        let round = round
        return slots.withUnsafeMutableBufferPointer { slots in
            var table = Table(slots: slots, round: round)
            return body(&table)
        }
    }

    /// Counts units by hash: open addressing.
    private struct Table {
        let slots: UnsafeMutableBufferPointer<Slot>
        let round: UInt32

        /// Counts a unit. The slot says how often it occurred so far, and where first.
        @inline(__always)
        mutating func note(_ hash: UInt64, _ place: Int) -> Slot {
            let mask = slots.count - 1
            var index = Int(truncatingIfNeeded: hash) & mask
            while slots[index].round == round, slots[index].hash != hash { index = (index + 1) & mask }
            if slots[index].round != round {
                slots[index] = Slot(hash: hash, round: round, count: 0, first: UInt32(truncatingIfNeeded: place))
            }
            slots[index].count += 1
            return slots[index]
        }
    }
}
