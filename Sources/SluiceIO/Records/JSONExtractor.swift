import CSimdJSON
public import SluiceCore

/// The fault of a malformed line, and its position.
public struct JSONFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of fault.
    public struct Code: Sendable, Hashable {
        public let rawValue: Int32

        public init(rawValue: Int32) { self.rawValue = rawValue }

        public static let empty = Code(rawValue: 1)
        public static let isArray = Code(rawValue: 2)
        public static let isScalar = Code(rawValue: 3)
        public static let secondValue = Code(rawValue: 4)
        public static let trailing = Code(rawValue: 5)
        public static let invalidUTF8 = Code(rawValue: 6)
        public static let controlCharacter = Code(rawValue: 7)
        public static let badEscape = Code(rawValue: 8)
        public static let loneSurrogate = Code(rawValue: 9)
        public static let unterminated = Code(rawValue: 10)
        public static let badNumber = Code(rawValue: 11)
        public static let badLiteral = Code(rawValue: 12)
        public static let unexpected = Code(rawValue: 13)
        public static let tooDeep = Code(rawValue: 14)
        public static let memory = Code(rawValue: 15)
    }

    public var code: Code
    /// The offset from the start of the line, counted from 0.
    public var position: Int

    public init(_ code: Code, at position: Int) {
        self.code = code
        self.position = position
    }

    /// The fault as a phrase, without the position.
    public var reason: String {
        switch code {
        case .empty: "the line is empty"
        case .isArray: "the line is an array, not an object"
        case .isScalar: "the line is a single string, number or word, not an object"
        case .secondValue: "a second JSON value on one line"
        case .trailing: "something follows the object on its line"
        case .invalidUTF8: "not valid UTF-8"
        case .controlCharacter: "a control character in a string (it must be escaped)"
        case .badEscape: "an unknown or incomplete escape in a string"
        case .loneSurrogate: "half of a surrogate pair in a string (\\ud800 to \\udfff come in pairs)"
        case .unterminated: "the line ends inside the object"
        case .badNumber: "not a valid JSON number"
        case .badLiteral: "an unknown word (JSON has true, false and null)"
        case .unexpected: "an unexpected character"
        case .tooDeep: "nested deeper than 1024 levels"
        case .memory: "not enough memory to read this line"
        default: "not valid JSON"
        }
    }

    public var description: String { "\(reason), at byte \(position) of the line" }
}

/// Validates lines of JSON completely and extracts fields.
///
/// A line must be exactly one JSON object (RFC 8259) in valid UTF-8; this includes fields that aren't extracted. Half
/// surrogate pairs are faults everywhere. Numbers of any size are valid and keep their spelling. Of duplicate keys in
/// an object the first one counts. Nesting is limited to 1024 levels.
///
/// Use one per thread. Extraction allocates nothing once its buffers have grown to the longest line. Lines over 1 MiB
/// are parsed without an index, so memory is never a multiple of the line, except for chat turns.
public final class JSONExtractor {
    /// The parser's two implementations; both give the same results.
    enum Way: Int32 { case auto = 0, fast = 1, slow = 2 }

    private let json: OpaquePointer
    public let paths: [FieldPath]
    var way = Way.auto

    public init(_ paths: [FieldPath]) {
        guard let made = sluice_json_create() else {
            fatalError("no memory for a JSON extractor")  // lint:allow: malloc failed
        }
        json = made
        self.paths = paths
        for path in paths {
            if path.isChat {
                sluice_json_add_chat(json)
                continue
            }
            let bytes = path.keys.flatMap { Array($0.utf8) }
            let lengths = path.keys.map { $0.utf8.count }
            sluice_json_add_path(json, bytes, lengths, lengths.count)
        }
    }

    deinit { sluice_json_destroy(json) }

    /// Validates a line and appends one row of fields to the arena; a malformed line appends nothing.
    ///
    /// - Returns: `nil` if the line is valid.
    @inline(__always)
    public func extract(_ line: UnsafeRawBufferPointer, into arena: FieldArena) -> JSONFault? {
        var needed = 0
        var position = 0
        let bytes = line.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let code = sluice_json_parse(json, bytes, line.count, way.rawValue, &needed, &position)
        if code != 0 { return JSONFault(JSONFault.Code(rawValue: code), at: position) }
        arena.reserve(bytes: needed, fields: paths.count)
        arena.byteCount += sluice_json_emit(
            json, bytes, arena.bytes + arena.byteCount, UInt64(arena.byteCount), arena.fields + arena.fieldCount)
        arena.fieldCount += paths.count
        return nil
    }

    /// Validates a line and returns its fields in separate memory, for lines far longer than others: a reused arena
    /// would keep the memory.
    public func extractAlone(_ line: UnsafeRawBufferPointer) -> Result<LoneFields, JSONFault> {
        var needed = 0
        var position = 0
        let bytes = line.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let code = sluice_json_parse(json, bytes, line.count, way.rawValue, &needed, &position)
        if code != 0 { return .failure(JSONFault(JSONFault.Code(rawValue: code), at: position)) }
        var fields = [sluice_json_field](repeating: sluice_json_field(), count: paths.count)
        let content = [UInt8](unsafeUninitializedCapacity: max(1, needed)) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            count = sluice_json_emit(json, bytes, base, 0, &fields)
        }
        return .success(
            LoneFields(
                bytes: content,
                places: fields.map {
                    (
                        Int($0.offset), Int($0.length),
                        FieldKind(rawValue: UInt8(truncatingIfNeeded: $0.kind)) ?? .missing
                    )
                }))
    }

    /// Frees the memory that grew with the longest line.
    public func shrink() { sluice_json_shrink(json) }
}

/// The fields of one record, in separate memory.
public struct LoneFields: Sendable {
    public typealias Place = (offset: Int, length: Int, kind: FieldKind)

    /// The bytes of all fields.
    public let bytes: [UInt8]
    /// The position of each field in `bytes`, and its kind.
    public let places: [Place]

    /// Passes some fields to `body` piece by piece, framed like `RecordHasher.frame`.
    public func forEachPart(of fields: [Int], _ body: (UnsafeRawBufferPointer) -> Void) {
        for field in fields {
            let place = places[field]
            withUnsafeBytes(of: UInt8(truncatingIfNeeded: place.kind.rawValue), body)
            withUnsafeBytes(of: UInt64(place.length).littleEndian, body)
            bytes.withUnsafeBytes {
                body(UnsafeRawBufferPointer(rebasing: $0[place.offset..<(place.offset + place.length)]))
            }
        }
    }
}

/// The fields of many records: one flat buffer of bytes, and a position in it for every record and path.
///
/// Rows are appended, one per extracted record, with `width` fields each. Reuse it with `removeAll()`. One thread at a
/// time.
public final class FieldArena: @unchecked Sendable {
    // @unchecked: as with RawBlock, only its current owner may use it.

    /// The number of fields per row: that of the extractor's paths.
    public let width: Int
    var bytes: UnsafeMutablePointer<UInt8>
    var byteCount = 0
    private var byteCapacity = 4096
    var fields: UnsafeMutablePointer<sluice_json_field>
    var fieldCount = 0
    private var fieldCapacity = 64

    public init(width: Int) {
        self.width = width
        bytes = .allocate(capacity: byteCapacity)
        fields = .allocate(capacity: fieldCapacity)
    }

    deinit {
        bytes.deallocate()
        fields.deallocate()
    }

    /// The number of records.
    public var rows: Int { width == 0 ? 0 : fieldCount / width }
    /// The bytes of all fields.
    public var usedBytes: Int { byteCount }
    /// The memory that it uses.
    public var capacity: Int { byteCapacity + fieldCapacity * MemoryLayout<sluice_json_field>.stride }

    public func removeAll() {
        byteCount = 0
        fieldCount = 0
    }

    /// Removes the last row, for a record that is not needed.
    public func removeLastRow() {
        guard fieldCount >= width, width > 0 else { return }
        fieldCount -= width
        byteCount = Int(fields[fieldCount].offset)
    }

    @inline(__always)
    public func kind(_ row: Int, _ field: Int) -> FieldKind {
        FieldKind(rawValue: UInt8(truncatingIfNeeded: fields[row * width + field].kind)) ?? .missing
    }

    /// The bytes of a field (empty for missing and null), valid until the arena changes.
    @inline(__always)
    public func value(_ row: Int, _ field: Int) -> UnsafeRawBufferPointer {
        let place = fields[row * width + field]
        return UnsafeRawBufferPointer(start: bytes + Int(place.offset), count: Int(place.length))
    }

    /// The bytes of all fields, valid until the arena changes.
    public var bytesInUse: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: byteCount) }

    /// The position of a field in `bytesInUse`, and its kind.
    public func entry(_ row: Int, _ field: Int) -> (offset: Int, length: Int, kind: FieldKind) {
        let place = fields[row * width + field]
        return (Int(place.offset), Int(place.length), kind(row, field))
    }

    @inline(__always)
    func reserve(bytes more: Int, fields moreFields: Int) {
        if byteCount + more > byteCapacity { growBytes(byteCount + more) }
        if fieldCount + moreFields > fieldCapacity { growFields(fieldCount + moreFields) }
    }

    private func growBytes(_ wanted: Int) {
        byteCapacity = max(wanted, byteCapacity + byteCapacity / 2)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: byteCapacity)
        larger.update(from: bytes, count: byteCount)
        bytes.deallocate()
        bytes = larger
    }

    private func growFields(_ wanted: Int) {
        fieldCapacity = max(wanted, fieldCapacity * 2)
        let larger = UnsafeMutablePointer<sluice_json_field>.allocate(capacity: fieldCapacity)
        larger.update(from: fields, count: fieldCount)
        fields.deallocate()
        fields = larger
    }
}
