import SluiceCore

/// Counts the records read and where each of them went: the counts must add up, or the run fails.
struct Account: Sendable, Equatable {
    /// Lines that aren't blank.
    var read = 0
    var kept = 0
    var quarantined = 0
    /// Blank lines: they aren't records, and are counted so that line numbers add up.
    var blank = 0
    /// Records that lack all dedupe fields, so that their complete lines were compared.
    var unkeyed = 0
    /// For each dedupe field, the records that lack it; empty if none lacks any.
    private(set) var lacking: [Int] = []
    /// Records with the hash of an earlier record but another content; only if contents are compared.
    var collisions = 0
    /// Records dropped, by stage and reason.
    private(set) var drops: [Key: Int] = [:]
    /// Records with a question, by asking stage.
    private(set) var questions: [String: Int] = [:]
    /// Quarantined lines by kind of fault.
    private(set) var faults: [String: Int] = [:]
    /// Lines that aren't records, by input file; only files that have some.
    private(set) var oddLines: [Int: OddLines] = [:]
    /// Records that go through each stage with a condition.
    private(set) var through: [String: Int] = [:]
    /// Of the fields that conditions and templates of the definition name, those that some record has.
    var seen: Set<String> = []

    struct OddLines: Equatable {
        var malformed = 0
        var blank = 0
        /// The `ForeignFormat` of a file whose first line is not a record.
        var looksLike: String?
    }

    struct Key: Hashable, Comparable {
        let stage: String
        let reason: Reason

        static func < (a: Key, b: Key) -> Bool { (a.stage, a.reason) < (b.stage, b.reason) }
    }

    var dropped: Int { drops.values.reduce(0, +) }

    mutating func countDrop(stage: String, reason: Reason, _ count: Int = 1) {
        drops[Key(stage: stage, reason: reason), default: 0] += count
    }

    mutating func countThrough(_ count: Int, of stage: String) { through[stage, default: 0] += count }

    mutating func countQuestions(_ count: Int, of stage: String) { questions[stage, default: 0] += count }

    mutating func countFault(_ code: String, _ count: Int = 1) {
        quarantined += count
        faults[code, default: 0] += count
    }

    /// Counts records that lack the dedupe field number `field`.
    mutating func countLacking(_ field: Int, _ count: Int = 1) {
        while lacking.count <= field { lacking.append(0) }
        lacking[field] += count
    }

    /// Adds lines to the counts of a file.
    mutating func countOdd(_ lines: OddLines, of file: Int) {
        guard lines != OddLines() else { return }
        var known = oddLines[file] ?? OddLines()
        known.malformed += lines.malformed
        known.blank += lines.blank
        known.looksLike = known.looksLike ?? lines.looksLike
        oddLines[file] = known
    }

    mutating func add(_ other: Account) {
        read += other.read
        kept += other.kept
        quarantined += other.quarantined
        blank += other.blank
        unkeyed += other.unkeyed
        collisions += other.collisions
        for (field, count) in other.lacking.enumerated() { countLacking(field, count) }
        for (file, lines) in other.oddLines { countOdd(lines, of: file) }
        seen.formUnion(other.seen)
        through.merge(other.through, uniquingKeysWith: +)
        drops.merge(other.drops, uniquingKeysWith: +)
        questions.merge(other.questions, uniquingKeysWith: +)
        faults.merge(other.faults, uniquingKeysWith: +)
    }

    func drops(of stage: String) -> [(reason: Reason, count: Int)] {
        drops.filter { $0.key.stage == stage }.sorted { $0.key < $1.key }.map { ($0.key.reason, $0.value) }
    }

    var allDrops: [(stage: String, reason: Reason, count: Int)] {
        drops.sorted { $0.key < $1.key }.filter { $0.value > 0 }.map { ($0.key.stage, $0.key.reason, $0.value) }
    }

    func dropped(by stage: String) -> Int { drops(of: stage).reduce(0) { $0 + $1.count } }

    /// - Throws: `EngineError` with code `.fault` unless read = kept + dropped + quarantined.
    func close() throws(EngineError) {
        guard read == kept + dropped + quarantined else {
            throw EngineError(
                .fault,
                "the counts do not add up: \(read) records read, but \(kept) kept + \(dropped) dropped + \(quarantined) quarantined = \(kept + dropped + quarantined); please report this with the definition"
            )
        }
    }

    var faultCounts: [(code: String, count: Int)] {
        faults.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}
