import SluiceCore
import Testing

/// What a test puts at a field path.
enum TestField {
    case null
    case string(String)
    case json(String)
    case chat([(String, String)])
}

extension TestField: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self = .string(value) }
}

/// A block whose records have these fields, as the reader would make it for a stage that reads `paths`.
func makeBlock(
    _ records: [[FieldPath: TestField]], paths: [FieldPath], wanted: [ColumnName]? = nil, from first: Int = 0
) -> Block {
    var table = FieldTable(paths: paths)
    for record in records {
        for path in paths {
            let offset = table.arena.count
            var kind = FieldTable.Kind.missing
            switch record[path] {
            case nil: break
            case .null?: kind = .null
            case .string(let text)?:
                kind = .string
                table.arena += text.utf8
            case .json(let text)?:
                kind = .json
                table.arena += text.utf8
            case .chat(let turns)?:
                kind = .chat
                for part in turns.flatMap({ [$0.0, $0.1] }) {
                    let count = UInt32(part.utf8.count)
                    table.arena += (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
                    table.arena += part.utf8
                }
            }
            table.entries.append(
                FieldTable.Entry(offset: UInt32(offset), length: UInt32(table.arena.count - offset), kind: kind))
        }
    }
    return Block(
        ordinals: ordinals(records.count, from: first), hashes: hashes(records.count, from: first), fields: table,
        wanted: wanted)
}

/// A block without fields, with the columns that `fill` writes.
func makeBlock(count: Int, hashes given: [ContentHash]? = nil, wanted: [ColumnName]? = nil, from first: Int = 0) -> Block {
    Block(
        ordinals: ordinals(count, from: first), hashes: given ?? hashes(count, from: first), wanted: wanted)
}

func ordinals(_ count: Int, from first: Int = 0) -> [Ordinal] {
    (first..<(first + count)).map { Ordinal(file: 0, line: $0 + 1) }
}

func hashes(_ count: Int, from first: Int = 0) -> [ContentHash] {
    (first..<(first + count)).map { hash(UInt64($0)) }
}

func hash(_ value: UInt64) -> ContentHash {
    ContentHash(high: Seed.mix(value), low: Seed.mix(value ^ 0xABCD))
}

extension Stage {
    /// With the defaults of the descriptor, as the engine makes it.
    static func make(_ options: OptionValues = [:]) throws -> Self {
        try Self(options: descriptor.fillingDefaults(in: options))
    }

    var fieldPaths: [FieldPath] { reads.compactMap { if case .field(let path) = $0 { path } else { nil } } }
}

extension Block {
    func strings(_ name: ColumnName) -> [String]? {
        guard let column = try? bytes(name) else { return nil }
        return (0..<column.count).map { String(decoding: column[$0], as: UTF8.self) }
    }
}

/// The message and option of the `StageError` that `body` throws.
func stageError(_ body: () throws -> Void) -> StageError? {
    do {
        try body()
        return nil
    } catch {
        return error as? StageError
    }
}
