public import SluiceCore

extension ColumnName {
    /// The part of a split that a record belongs to.
    public static let split: ColumnName = "split"
}

/// Divides records at random into parts for training, validation and tests, by a hash: a record's part depends on nothing
/// else in the input.
///
/// Cost: one hash a record. Deterministic: the same record and seed give the same part, on any machine and with any other
/// records around it.
public struct SplitStage: Stage {
    public static let descriptor = Descriptor(
        name: "split",
        summary: "Divides records at random into parts such as train and valid.",
        discussion: """
            Writes the name of a record's part to the column `split`, and drops nothing. A record draws a number from its \
            content, or from what `on` names, and the seed; so it stays in its part when the data grow. With \
            `on: [prompt]` all answers to one prompt are in one part. Parts follow each other from the largest to the \
            smallest, so of two parts the smaller one grows when its share does, and loses no record.

              outputs: {data: {per: split}}                  a file for each part
              outputs: {train: {where: split == train}}      only one

            Records that have none of what `on` names count by their whole content.
            """,
        options: [
            OptionSpec(
                "parts", .map(.quantity),
                default: .map(["train": .quantity(.percent(98)), "valid": .quantity(.percent(2))]),
                help: "the parts and their shares, which make 100% together",
                example: "{train: 98%, valid: 1%, test: 1%}"),
            OptionSpec(
                "on", .list(.label), default: .list([]),
                help: "columns or fields that decide; the whole record without",
                example: "[prompt]"),
            OptionSpec("as", .newColumn, default: "split", help: "the column to write"),
        ])

    private let parts: [SplitTransform.Part]
    private let names: [String]
    private let column: ColumnName

    public init(options: OptionValues) throws(StageError) {
        guard case .map(let shares)? = options["parts"] else { throw .option("parts", "`parts` must be a map") }
        var found: [(name: String, share: Int)] = []
        for name in shares.keys.sorted() {
            guard case .quantity(let quantity)? = shares[name], quantity.isShare, !quantity.isZero else {
                throw .option("parts", "the share of `\(name)` must be a percentage above 0, such as 5%")
            }
            found.append((name, quantity.resolve(of: Self.whole)))
        }
        let sum = found.reduce(0) { $0 + $1.share }
        guard sum == Self.whole else {
            let percent = Double(sum) / 1_000_000
            throw .option("parts", "the shares of `parts` make \(JSONValue.real(percent).json) % together, not 100 %")
        }
        found.sort { $0.share != $1.share ? $0.share > $1.share : $0.name < $1.name }
        var end = 0
        parts = found.map { part in
            end += part.share
            return SplitTransform.Part(name: Array(part.name.utf8), end: UInt64(end))
        }
        names = try options.texts("on")
        guard Set(names).count == names.count else { throw .option("on", "`on` names one thing twice") }
        column = ColumnName(try options.text("as"))
    }

    /// 100 %, in units of 10^-8.
    fileprivate static let whole = 100_000_000

    public var reads: [Input] { names.map { .label($0) } }
    public var writes: [ColumnSpec] { [ColumnSpec(column, .bytes)] }

    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        .transform(
            SplitTransform(
                parts: parts, column: column, seed: context.seed,
                // As the engine does: a column if an earlier stage writes it, else a field.
                places: names.map { name in
                    context.type(of: ColumnName(name)) == nil ? .field(FieldPath(name)) : .column(ColumnName(name))
                }))
    }
}

private struct SplitTransform: Transform {
    struct Part {
        let name: [UInt8]
        /// The end of its draws, in units of 10^-8.
        let end: UInt64
    }

    enum Place {
        case column(ColumnName)
        case field(FieldPath)
    }

    private enum Values {
        case bytes(BytesColumn)
        case integers([Int64])
        case field(FieldColumn)
    }

    let parts: [Part]
    let column: ColumnName
    let seed: Seed
    let places: [Place]

    func memory(_ context: StageContext) -> TransformMemory { TransformMemory(perThread: 64 << 10, growth: 0) }

    func apply(to block: inout Block) throws(StageError) {
        var values: [Values] = []
        for place in places {
            switch place {
            case .field(let path): values.append(.field(block.field(path)))
            case .column(let name):
                if case .integers(let numbers)? = block[name] {
                    values.append(.integers(numbers))
                } else {
                    values.append(.bytes(try block.bytes(name)))
                }
            }
        }
        var found = BytesColumn()
        for record in 0..<block.count {
            let hash = hash(record, values) ?? block.hashes[record]
            let draw = seed.draw(hash).multipliedFullWidth(by: UInt64(SplitStage.whole)).high
            found.append((parts.first { draw < $0.end } ?? parts[parts.count - 1]).name[...])
        }
        block.write(column, .bytes(found))
    }

    /// nil if a record has none of the values, or all of it decides.
    private func hash(_ record: Int, _ values: [Values]) -> ContentHash? {
        var hash = SipHash()
        var hasValue = false
        func add(_ bytes: ArraySlice<UInt8>) {
            hasValue = true
            hash.add(1)
            for shift in stride(from: 0, to: 64, by: 8) { hash.add(UInt8(truncatingIfNeeded: bytes.count >> shift)) }
            bytes.withUnsafeBufferPointer { hash.add($0) }
        }
        for column in values {
            switch column {
            case .bytes(let bytes): add(bytes[record])
            case .integers(let numbers): add(ArraySlice(String(numbers[record]).utf8))
            case .field(let fields):
                switch fields[record] {
                case .missing, .null: hash.add(0)
                case .string(let bytes), .json(let bytes): add(bytes)
                case .chat(let turns): add(turns.encoded)
                }
            }
        }
        return hasValue ? hash.digest : nil
    }
}

/// `split` in a definition written in Swift.
public struct Split: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameter parts: shares in percent, which make 100 together.
    public init(_ parts: [String: Double] = ["train": 98, "valid": 2], on: [String] = [], as column: String = "split") {
        stageSpec = StageSpec(
            "split",
            [
                "parts": .map(parts.mapValues { .quantity(.percent($0)) }), "on": .list(on.map { .text($0) }),
                "as": .text(column),
            ])
    }
}
