import Glibc
import SluiceCore
import Testing

/// A test's value for a field path.
enum TestField {
    case null
    case string(String)
    case json(String)
    case chat([(String, String)])
}

extension TestField: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self = .string(value) }
}

/// A block whose records have these fields, as the reader makes it for a stage that reads `paths`.
func makeBlock(
    _ records: [[FieldPath: TestField]], paths: [FieldPath], wanted: [ColumnName]? = nil, from first: Int = 0
) -> Block {
    var table = FieldTable(paths: paths)
    for record in records {
        for path in paths {
            let offset = table.arena.count
            var kind = FieldKind.missing
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
func makeBlock(count: Int, hashes given: [ContentHash]? = nil, wanted: [ColumnName]? = nil, from first: Int = 0)
    -> Block
{
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
    /// With the descriptor's defaults, as the engine creates it.
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

/// The message and option of the `StageError` thrown by `body`.
func stageError(_ body: () throws -> Void) -> StageError? {
    do {
        try body()
        return nil
    } catch {
        return error as? StageError
    }
}

// MARK: Shared data, where it is there

/// The lines of a text file next to the project, or nil.
func sharedLines(_ path: String) -> [String]? {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    for folder in ["/\(root)/../shared", "/\(root)/shared"] {
        guard let bytes = readFile("\(folder)/\(path)") else { continue }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }
    return nil
}

func sharedBytes(_ path: String) -> [UInt8]? {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    return readFile("/\(root)/../shared/\(path)")
}

func textFile(_ path: String) -> String? { readFile(path).map { String(decoding: $0, as: UTF8.self) } }

private func readFile(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        guard count > 0 else { return bytes }
        bytes += buffer[..<count]
    }
}

/// A string value of a one-line JSON object, for test data known to be plain.
func jsonString(_ name: String, in line: String) -> String? {
    guard let start = line.firstRange(of: "\"\(name)\": \"")?.upperBound else { return nil }
    var units: [UInt16] = []
    var rest = line[start...].utf16.makeIterator()
    while let unit = rest.next(), unit != 0x22 {
        guard unit == 0x5C else {
            units.append(unit)
            continue
        }
        switch rest.next() {
        case 0x6E?: units.append(10)
        case 0x74?: units.append(9)
        case 0x72?: units.append(13)
        case 0x75?:
            let digits = (0..<4).compactMap { _ in rest.next() }
            units.append(UInt16(String(decoding: digits, as: UTF16.self), radix: 16)!)
        case let other?: units.append(other)
        case nil: return nil
        }
    }
    return String(decoding: units, as: UTF16.self)
}
