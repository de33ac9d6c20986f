import SluiceCore

/// The records with the lowest draws, at most `capacity`: bottom-k by draw, content and place, so that ties go to the
/// earlier record.
///
/// It holds up to twice as many keys and then forgets the higher half, so an entry costs a constant on average.
struct SmallestDraws: Sendable {
    struct Key: Sendable, Comparable {
        let draw: UInt64
        let ordinal: UInt64

        static func < (a: Key, b: Key) -> Bool { a.draw != b.draw ? a.draw < b.draw : a.ordinal < b.ordinal }
    }

    /// More than any memory has room for.
    static let greatest = 1 << 32

    let capacity: Int
    private(set) var keys: [Key] = []
    /// The number of records seen.
    private(set) var seen = 0
    /// Above it nothing enters.
    private var limit: Key?

    init(capacity: Int) { self.capacity = capacity }

    private var slack: Int { max(1024, capacity / 4) }

    /// Bytes at its largest: the keys, and a copy while they are sorted.
    static func bytes(capacity: Int) -> Int { (capacity + max(1024, capacity / 4)) * 2 * MemoryLayout<Key>.stride }

    mutating func offer(_ key: Key) {
        seen += 1
        add(key)
    }

    mutating func merge(_ other: SmallestDraws) {
        seen += other.seen
        for key in other.keys { add(key) }
    }

    private mutating func add(_ key: Key) {
        if let limit, limit < key { return }
        if keys.isEmpty {
            // Once: a growing array briefly exists twice. Pages that are never filled take no memory.
            keys.reserveCapacity(capacity + slack)
        }
        keys.append(key)
        if keys.count >= capacity + slack { settle() }
    }

    /// Sorts the keys and forgets those over the capacity.
    mutating func settle() {
        keys.sort()
        guard keys.count > capacity else { return }
        keys.removeLast(keys.count - capacity)
        limit = keys.last
    }
}

extension SmallestDraws: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write([capacity, seen])
        bytes.write(keys.map(\.draw))
        bytes.write(keys.map(\.ordinal))
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        let numbers = try bytes.read([Int].self)
        let draws = try bytes.read([UInt64].self), ordinals = try bytes.read([UInt64].self)
        guard numbers.count == 2, numbers[0] > 0, numbers[1] >= draws.count, draws.count == ordinals.count else {
            throw ByteReader.damaged("a sample of \(draws.count) records has \(ordinals.count) places")
        }
        (capacity, seen) = (numbers[0], numbers[1])
        keys = zip(draws, ordinals).map { Key(draw: $0, ordinal: $1) }
        if keys.count >= capacity + slack { settle() }
    }
}

/// Finds the last record of a sample of a given size.
struct SampleSurvey: Survey {
    let count: Int
    let seed: Seed

    /// The draw and place of the last record that stays; all stay where there is none.
    struct Outcome: ByteCodable, Sendable {
        var draw: UInt64?
        var ordinal: UInt64?

        init(_ last: SmallestDraws.Key?) { (draw, ordinal) = (last?.draw, last?.ordinal) }

        func write(to bytes: inout ByteWriter) {
            bytes.write(draw)
            bytes.write(ordinal)
        }

        init(from bytes: inout ByteReader) throws(StageError) {
            (draw, ordinal) = (try bytes.read(), try bytes.read())
        }
    }

    func memory(_ context: StageContext) -> SurveyMemory {
        SurveyMemory(
            summary: SmallestDraws.bytes(capacity: count), finish: 4096,
            advice: "keep fewer records, or a share, such as `keep: 5%`")
    }

    func makeSummary() -> SmallestDraws { SmallestDraws(capacity: count) }

    func observe(_ block: borrowing Block, into summary: inout SmallestDraws) throws(StageError) {
        for record in 0..<block.count where block.isLive(record) {
            summary.offer(
                SmallestDraws.Key(draw: seed.draw(block.hashes[record]), ordinal: block.ordinals[record].rawValue))
        }
    }

    func merge(_ other: SmallestDraws, into summary: inout SmallestDraws) { summary.merge(other) }

    func finish(_ summary: consuming SmallestDraws, _ context: StageContext) -> SurveyResult<Outcome> {
        var sample = summary
        sample.settle()
        let isAll = sample.seen <= count
        return SurveyResult(
            Outcome(isAll ? nil : sample.keys.last),
            report: ["records": .integer(sample.seen), "kept": .integer(min(count, sample.seen))],
            warnings: sample.seen < count && sample.seen > 0
                ? ["`keep` is \(count), and only \(sample.seen) records reached the stage; all were kept"] : [])
    }

    func makeBody(_ outcome: Outcome, _ context: StageContext) -> StageBody {
        .transform(SampleFilter(last: outcome, seed: seed))
    }
}

/// Keeps the records up to the last one of a sample.
private struct SampleFilter: Transform {
    let last: SampleSurvey.Outcome
    let seed: Seed

    func apply(to block: inout Block) throws(StageError) {
        guard let draw = last.draw, let ordinal = last.ordinal else { return }
        let limit = SmallestDraws.Key(draw: draw, ordinal: ordinal)
        for record in 0..<block.count where block.isLive(record) {
            let key = SmallestDraws.Key(
                draw: seed.draw(block.hashes[record]), ordinal: block.ordinals[record].rawValue)
            if limit < key { block.drop(record, reason: "not-sampled") }
        }
    }
}
