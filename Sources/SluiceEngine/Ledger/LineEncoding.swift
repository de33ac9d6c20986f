import SluiceCore
import SluiceIO

/// Writes lines of the ledger and the quarantine: JSON objects with a fixed order of keys.
struct LineEncoder: Sendable {
    /// The names of the input files as JSON strings, by file index.
    private let names: [[UInt8]]

    init(fileNames: [String]) {
        names = fileNames.map { name in
            var bytes: [UInt8] = []
            bytes.appendJSONString(name)
            return bytes
        }
    }

    /// `{"file":…,"line":…,"stage":…,"reason":…,"kept":{…},…}` and a line end.
    func appendDrop(
        _ ordinal: Ordinal, stage: String, reason: Reason, partner: Ordinal?, measures: [Measure],
        to bytes: inout [UInt8]
    ) {
        bytes.append(UInt8(ascii: "{"))
        appendPlace(ordinal, to: &bytes)
        bytes.append(contentsOf: Self.stageKey)
        bytes.appendJSONString(stage)
        bytes.append(contentsOf: Self.reasonKey)
        bytes.appendJSONString(reason.name)
        if let partner {
            bytes.append(contentsOf: Self.keptKey)
            appendPlace(partner, to: &bytes)
            bytes.append(UInt8(ascii: "}"))
        }
        for measure in measures {
            bytes.append(UInt8(ascii: ","))
            bytes.appendJSONString(measure.name)
            bytes.append(UInt8(ascii: ":"))
            bytes.append(contentsOf: measure.value.json.utf8)
        }
        bytes.append(contentsOf: Self.end)
    }

    /// `{"file":…,"line":…,"cluster":…,"rank":…}` for a kept record, and a line end.
    func appendPick(
        _ ordinal: Ordinal, row: Int, columns: [(name: ColumnName, column: Column)], to bytes: inout [UInt8]
    ) {
        bytes.append(UInt8(ascii: "{"))
        appendPlace(ordinal, to: &bytes)
        for (name, column) in columns {
            bytes.append(UInt8(ascii: ","))
            bytes.appendJSONString(name.name)
            bytes.append(UInt8(ascii: ":"))
            column.appendJSON(row, to: &bytes)
        }
        bytes.append(contentsOf: Self.end)
    }

    /// `{"file":…,"line":…,"byte":…,"error":…,"raw":…}`, or `"base64":…` for a line that is not UTF-8, and for a long
    /// line that would take more bytes as text.
    func appendFault(
        _ ordinal: Ordinal, byte: Int, error: String, raw: UnsafeRawBufferPointer, length: Int,
        to bytes: inout [UInt8]
    ) {
        bytes.append(UInt8(ascii: "{"))
        appendPlace(ordinal, to: &bytes)
        bytes.append(contentsOf: Self.byteKey)
        appendDecimal(byte, to: &bytes)
        bytes.append(contentsOf: Self.errorKey)
        bytes.appendJSONString(error)
        if raw.count < length {
            bytes.append(contentsOf: Self.lengthKey)
            appendDecimal(length, to: &bytes)
        }
        let escaped = isValidUTF8(raw) ? jsonStringSize(raw) : .max
        let base64 = (raw.count + 2) / 3 * 4
        // Escaping makes a long line of control characters six times as long.
        let usesText = escaped < .max && (raw.count <= LongRecords.threshold || escaped <= base64)
        bytes.reserveCapacity(
            bytes.count + (usesText ? escaped : base64) + (raw.count > LongRecords.threshold ? Self.roomForMore : 64))
        if usesText {
            bytes.append(contentsOf: Self.rawKey)
            bytes.appendJSONString(raw)
        } else {
            bytes.append(contentsOf: Self.base64Key)
            bytes.appendBase64(raw)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: Self.end)
    }

    private func appendPlace(_ ordinal: Ordinal, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: Self.fileKey)
        bytes.append(contentsOf: names[ordinal.file])
        bytes.append(contentsOf: Self.lineKey)
        appendDecimal(ordinal.line, to: &bytes)
    }

    /// A long line takes over the pending lines of its output (`FrameSink.take`).
    private static let roomForMore = 2 * OutputFile.frameBytes

    private static let fileKey = Array(#""file":"#.utf8)
    private static let lineKey = Array(#","line":"#.utf8)
    private static let stageKey = Array(#","stage":"#.utf8)
    private static let reasonKey = Array(#","reason":"#.utf8)
    private static let keptKey = Array(#","kept":{"#.utf8)
    private static let byteKey = Array(#","byte":"#.utf8)
    private static let errorKey = Array(#","error":"#.utf8)
    private static let lengthKey = Array(#","length":"#.utf8)
    private static let rawKey = Array(#","raw":"#.utf8)
    private static let base64Key = Array(#","base64":""#.utf8)
    private static let end = Array("}\n".utf8)
}

/// The digits of a non-negative number.
func appendDecimal(_ value: Int, to bytes: inout [UInt8]) {
    var digits: InlineArray<20, UInt8> = .init(repeating: 0)
    var count = 0
    var rest = UInt(value.magnitude)
    repeat {
        digits[count] = UInt8(48 + rest % 10)
        rest /= 10
        count += 1
    } while rest > 0
    for index in (0..<count).reversed() { bytes.append(digits[index]) }
}
