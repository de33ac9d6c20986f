import SluiceCore
import SluiceIO

/// What the definition's outputs read of each kept record: one line of a work file beside the kept records, in their order,
/// from which the outputs are made once all of them are known.
///
/// A line has the values separated by tabs, each after a letter for its kind.
struct SinkRows: Sendable {
    static let fileName = "outputs.rows.zst"

    /// Longer texts are cut, and end in their hash: two of them differ if the texts do.
    static let longestText = 512
    private static let kept = 256

    /// In the order of the values.
    let names: [String]
    let sources: [OutputSource]

    /// - Returns: nil if no output reads anything but the records' bytes.
    init?(_ sinks: [SinkSpec], _ named: [String: OutputSource]) {
        names = Set(sinks.flatMap(\.names)).sorted()
        sources = names.compactMap { named[$0] }
        if names.isEmpty { return nil }
    }

    func append(_ row: Int, _ columns: [(name: ColumnName, column: Column)], to bytes: inout [UInt8]) {
        for (index, source) in sources.enumerated() {
            if index > 0 { bytes.append(0x09) }
            switch source.value(row, columns) {
            case .missing: bytes.append(UInt8(ascii: "n"))
            case .integer(let value):
                bytes.append(UInt8(ascii: "i"))
                bytes.append(contentsOf: String(value).utf8)
            case .real(let value):
                bytes.append(UInt8(ascii: "r"))
                bytes.append(contentsOf: String(value.bitPattern, radix: 16).utf8)
            case .text(let text): Self.append("t", text, to: &bytes)
            case .json(let json): Self.append("j", json, to: &bytes)
            }
        }
        bytes.append(0x0A)
    }

    private static func append(_ kind: Unicode.Scalar, _ text: [UInt8], to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: kind))
        guard text.count > longestText else { return appendEscaped(text[...], to: &bytes) }
        appendEscaped(text[..<kept], to: &bytes)
        bytes.append(contentsOf: "… \(text.withUnsafeBytes { hexadecimal(XXHash.hash128($0)) })".utf8)
    }

    private static func appendEscaped(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
        for byte in text {
            switch byte {
            case 0x09: bytes.append(contentsOf: [0x5C, UInt8(ascii: "t")])
            case 0x0A: bytes.append(contentsOf: [0x5C, UInt8(ascii: "n")])
            case 0x5C: bytes.append(contentsOf: [0x5C, 0x5C])
            default: bytes.append(byte)
            }
        }
    }

    /// The values of a line, which may end in a line end.
    static func values(of line: UnsafeRawBufferPointer) -> [RecordValue] {
        let content = line.last == 0x0A ? UnsafeRawBufferPointer(rebasing: line.dropLast()) : line
        return content.split(separator: 0x09, omittingEmptySubsequences: false).map { value($0) }
    }

    private static func value(_ field: Slice<UnsafeRawBufferPointer>) -> RecordValue {
        func text() -> String { String(decoding: field.dropFirst(), as: UTF8.self) }
        switch field.first {
        case UInt8(ascii: "i"): return Int64(text()).map { .integer($0) } ?? .missing
        case UInt8(ascii: "r"): return UInt64(text(), radix: 16).map { .real(Double(bitPattern: $0)) } ?? .missing
        case UInt8(ascii: "t"): return .text(unescaped(field.dropFirst()))
        case UInt8(ascii: "j"): return .json(unescaped(field.dropFirst()))
        default: return .missing
        }
    }

    private static func unescaped(_ field: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(field.count)
        var isEscaped = false
        for byte in field {
            if isEscaped {
                bytes.append(byte == UInt8(ascii: "t") ? 0x09 : byte == UInt8(ascii: "n") ? 0x0A : byte)
                isEscaped = false
            } else if byte == 0x5C {
                isEscaped = true
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }
}
