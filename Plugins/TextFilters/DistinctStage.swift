public import SluiceCore

extension ColumnName {
    /// The upper bits of a record's key, by which records are compared in parts.
    static let distinctPart: ColumnName = "distinct_part"
    /// The 128 bits of a record's key, highest first: no number, so it is not listed for kept records.
    static let distinctKey: ColumnName = "distinct_key"
}

/// Keeps the first of the records that are equal in some columns or fields, normalised or not.
///
/// A transform writes a key of 128 bits for each record, and a selection compares keys in 4,096 parts, so memory holds a
/// part of the keys at a time. Of ten billion different records, the probability that any two have one key is below 10⁻¹⁸.
public struct DistinctStage: Stage {
    public static let descriptor = Descriptor(
        name: "distinct",
        summary: "Keeps the first of the records that are equal in some columns or fields.",
        discussion: """
            Compares `text`, or the columns and fields that `on` names: after `format`, one exchange in two schemas has \
            one text. A string stands for itself, another value counts as it is spelled; missing and null are one value. \
            Records that have none of them are equal if their whole content is. `input.dedupe` is faster for records as they are.

            normalize: [case] takes upper and lower case to be equal, [space] any white space, and none at the ends, \
            [punctuation] texts with and without punctuation (Unicode P*, so not `+` or `=`; but `-`, `*` and `/`).

            Of equal records the first stays. The ledger names it; the reason is duplicate. Records are compared by \
            128-bit hashes, in 4096 parts: memory takes 48 bytes for each record of the largest, so 48 KB for four million \
            records, and 48 MB for four billion.
            """,
        options: [
            OptionSpec(
                "on", .list(.label), default: ["text"], help: "the columns or fields to compare",
                example: "[question, answer]"),
            OptionSpec(
                "normalize", .list(.choice(Normalization.words.map(\.0))), default: .list([]),
                help: "differences that do not count", example: "[case, space, punctuation]"),
        ])

    private let names: [String]
    private let normalization: Normalization

    public init(options: OptionValues) throws(StageError) {
        names = try options.texts("on")
        normalization = Normalization(try options.texts("normalize"))
        guard !names.isEmpty else { throw .option("on", "`on` is empty; name what to compare, such as [text]") }
        guard Set(names).count == names.count else { throw .option("on", "`on` names one thing twice") }
    }

    public var reads: [Input] { names.map { .label($0) } }
    public var writes: [ColumnSpec] {
        [ColumnSpec(.distinctPart, .integer), ColumnSpec(.distinctKey, .vector(dimension: keyBytes))]
    }

    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        // As the engine does: a column if an earlier stage writes it, else a field.
        let places = names.map { name in
            context.type(of: ColumnName(name)) == nil
                ? KeyTransform.Place.field(FieldPath(name)) : .column(ColumnName(name))
        }
        return .sequence([
            .transform(KeyTransform(places: places, normalization: normalization)), .selection(FirstOfEqual()),
        ])
    }
}

private let keyBytes = 16

/// Writes each record's key.
private struct KeyTransform: Transform {
    let places: [Place]
    let normalization: Normalization

    enum Place: Sendable {
        case column(ColumnName)
        case field(FieldPath)
    }

    /// The part is 12 bits of the key.
    private static let partShift: UInt64 = 52

    private enum Values {
        case bytes(BytesColumn)
        case integers([Int64])
        case field(FieldColumn)
    }

    func memory(_ context: StageContext) -> TransformMemory { TransformMemory(perThread: 1 << 20, growth: 1) }

    func apply(to block: inout Block) throws(StageError) {
        var columns: [Values] = []
        for place in places {
            switch place {
            case .field(let path): columns.append(.field(block.field(path)))
            case .column(let name):
                if case .integers(let values)? = block[name] {
                    columns.append(.integers(values))
                } else {
                    columns.append(.bytes(try block.bytes(name)))
                }
            }
        }
        var parts = [Int64](repeating: 0, count: block.count)
        var keys = [Int8](repeating: 0, count: block.count * keyBytes)
        var normal: [UInt8] = []
        for record in 0..<block.count where block.isLive(record) {
            let key = try key(record, columns, block.hashes[record], &normal)
            parts[record] = Int64(key.high >> Self.partShift)
            for byte in 0..<8 {
                let shift = UInt64(56 - 8 * byte)
                keys[record * keyBytes + byte] = Int8(truncatingIfNeeded: key.high >> shift)
                keys[record * keyBytes + 8 + byte] = Int8(truncatingIfNeeded: key.low >> shift)
            }
        }
        block.write(.distinctPart, .integers(parts))
        block.write(.distinctKey, .vectors(VectorColumn(dimension: keyBytes, values: keys)))
    }

    private func key(
        _ record: Int, _ columns: [Values], _ content: ContentHash, _ normal: inout [UInt8]
    ) throws(StageError) -> ContentHash {
        var hash = SipHash()
        var hasValue = false
        for column in columns {
            switch column {
            case .bytes(let values): try add(values[record], to: &hash, &normal)
            case .integers(let values): try add(ArraySlice(String(values[record]).utf8), to: &hash, &normal)
            case .field(let values):
                let value = values[record]
                switch value {
                case .missing, .null:
                    hash.add(0)
                    continue
                default: try add(value.text, to: &hash, &normal)
                }
            }
            hasValue = true
        }
        if !hasValue {
            // A key that no other record has, unless its whole content is equal.
            hash.add(2)
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                hash.add(UInt8(truncatingIfNeeded: content.high >> shift))
                hash.add(UInt8(truncatingIfNeeded: content.low >> shift))
            }
        }
        return hash.digest
    }

    /// Adds a value that is there: a mark, its length and its bytes, so that neighbouring values can't be mistaken.
    private func add(_ value: ArraySlice<UInt8>, to hash: inout SipHash, _ normal: inout [UInt8]) throws(StageError) {
        hash.add(1)
        try withBytes(of: value) { (text) throws(StageError) in
            guard !normalization.isEmpty else {
                addLength(text.count, to: &hash)
                hash.add(text)
                return
            }
            normalization.write(text, to: &normal)
            addLength(normal.count, to: &hash)
            normal.withUnsafeBufferPointer { hash.add($0) }
        }
        if normal.capacity > 1 << 20 { normal = [] }
    }

    private func addLength(_ length: Int, to hash: inout SipHash) {
        for shift in stride(from: 0, to: 64, by: 8) { hash.add(UInt8(truncatingIfNeeded: length >> shift)) }
    }
}

/// Keeps the first row of each key.
private struct FirstOfEqual: Selection {
    let grouping = Grouping.by(.distinctPart)
    let columns: [ColumnName] = [.distinctKey]

    func quotas(for groups: Groups) throws(StageError) -> [Int] { groups.sizes }
    var mayKeepFewerThanQuota: Bool { true }

    /// The keys once more, the order, ranks and partners.
    func memory(rows: Int, _ context: StageContext) -> Int { rows * 32 + 4096 }

    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        var keys: [ContentHash] = []
        keys.reserveCapacity(group.count)
        try group.vectors(.distinctKey).forEachChunk { rows, bytes in
            let raw = UnsafeRawBufferPointer(bytes)
            for row in 0..<rows.count {
                let start = row * keyBytes
                keys.append(
                    ContentHash(
                        high: UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: start, as: UInt64.self)),
                        low: UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: start + 8, as: UInt64.self))))
            }
        }
        var order = (0..<Int32(group.count)).map { $0 }
        order.sort { keys[Int($0)] != keys[Int($1)] ? keys[Int($0)] < keys[Int($1)] : $0 < $1 }
        var ranks = [Int32](repeating: 0, count: group.count)
        var partners = [Int32](repeating: -1, count: group.count)
        var first = order.first ?? 0
        for row in order.dropFirst() {
            if keys[Int(row)] == keys[Int(first)] {
                ranks[Int(row)] = -1
                partners[Int(row)] = first
            } else {
                first = row
            }
        }
        var rank: Int32 = 0
        for row in ranks.indices where ranks[row] >= 0 {
            ranks[row] = rank
            rank += 1
        }
        return GroupOutcome(ranks: ranks, partners: partners, reason: "duplicate")
    }

    func report(_ groups: GroupReports) -> JSONValue {
        var (records, kept, largest) = (0, 0, 0)
        for group in groups {
            records += group.size
            kept += group.kept
            largest = max(largest, group.size)
        }
        return [
            "records": .integer(records), "distinct": .integer(kept), "parts": .integer(groups.count),
            "largest_part": .integer(largest),
        ]
    }
}

/// `distinct` in a definition written in Swift.
public struct Distinct: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - names: columns or fields; `text` by default.
    ///   - normalize: `case`, `space`, `punctuation`.
    public init(on names: [String]? = nil, normalize: [String]? = nil) {
        var options = OptionValues()
        options["on"] = names.map { .list($0.map { .text($0) }) }
        options["normalize"] = normalize.map { .list($0.map { .text($0) }) }
        stageSpec = StageSpec("distinct", options)
    }
}
