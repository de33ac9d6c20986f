import CSimdJSON

/// A field to take from every record.
public struct JSONPath: Sendable, Hashable {
    /// The keys from the record's object down; empty for `chat`.
    public var keys: [String]
    /// Whether this is the special path that recognises chat turns.
    public var isChat: Bool

    /// A path of keys, from outside in.
    public init(keys: [String]) {
        self.keys = keys
        isChat = false
    }

    /// A path as users write it: `a.b` is `b` in the object `a`; a backslash makes the next character an ordinary one,
    /// so `a\.b` is the key «a.b».
    public init(_ text: String) {
        var keys: [String] = []
        var key = ""
        var escaped = false
        for scalar in text.unicodeScalars {
            if escaped {
                key.unicodeScalars.append(scalar)
                escaped = false
            } else if scalar == "\\" {
                escaped = true
            } else if scalar == "." {
                keys.append(key)
                key = ""
            } else {
                key.unicodeScalars.append(scalar)
            }
        }
        if escaped { key += "\\" }
        keys.append(key)
        self.init(keys: keys)
    }

    private init() {
        keys = []
        isChat = true
    }

    /// Chat turns, from `messages` (objects with `role` and `content`) or else ShareGPT's `conversations` (objects with
    /// `from` and `value`; `human` becomes `user` and `gpt` becomes `assistant`).
    ///
    /// A content that is a list of parts stands for its `text` parts, put together. Anything else, and a list without
    /// turns, is missing. Read the turns with `RawChatTurns`.
    public static let chat = JSONPath()
}

/// What was found under a path.
public enum FieldKind: UInt32, Sendable {
    /// The key isn't there, or something on the way to it is no object.
    case missing = 0
    case null = 1
    /// The string's characters, unescaped, in UTF-8.
    case string = 2
    /// A number, boolean, array or object: its JSON exactly as spelled.
    case other = 3
    /// Turns in the encoding that `RawChatTurns` reads.
    case chat = 4
}

/// Why a line is no good record, and where in the line that can be seen.
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
    /// Counted from 0, from the start of the line.
    public var position: Int

    public init(_ code: Code, at position: Int) {
        self.code = code
        self.position = position
    }

    /// What is wrong, in words, without the place.
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
        case .loneSurrogate: "half of a surrogate pair in a string (\\ud800 to \\udfff come in twos)"
        case .unterminated: "the line ends inside the object"
        case .badNumber: "not a valid JSON number"
        case .badLiteral: "an unknown word (JSON has true, false and null)"
        case .unexpected: "an unexpected character"
        case .tooDeep: "nested deeper than 1024 levels"
        case .memory: "no memory left for reading this line"
        default: "not valid JSON"
        }
    }

    public var description: String { "\(reason), at byte \(position) of the line" }
}

/// Checks lines of JSON completely and takes fields out of them.
///
/// A line must be exactly one JSON object (RFC 8259) in valid UTF-8, in every field, read or not; half surrogate pairs
/// are faults wherever they stand. Numbers of any size are fine and keep their spelling. Of equal keys in one object
/// the first counts. Nesting ends at 1024 levels.
///
/// Make one for every thread. Extraction allocates nothing once its buffers have grown to the longest line; lines over
/// 1 MiB take a scalar way that needs no table, so memory is never a multiple of the line but for chat turns.
public final class JSONExtractor {
    /// Which of the two ways to take; both give the same results.
    enum Way: Int32 { case auto = 0, fast = 1, slow = 2 }

    private let json: OpaquePointer
    public let paths: [JSONPath]
    var way = Way.auto

    public init(_ paths: [JSONPath]) {
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

    /// Checks a line and appends one row of fields to the arena; a bad line appends nothing.
    ///
    /// - Returns: `nil` when the line is good.
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

    /// Checks a line and gives its fields in memory of their own, which an arena that is used again would keep: for lines
    /// that are far longer than others.
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
                places: fields.map { (Int($0.offset), Int($0.length), FieldKind(rawValue: $0.kind) ?? .missing) }))
    }

    /// Gives back the memory that grew with the longest line.
    public func shrink() { sluice_json_shrink(json) }
}

/// The fields of one record, in memory of their own.
public struct LoneFields: Sendable {
    public typealias Place = (offset: Int, length: Int, kind: FieldKind)

    /// The bytes of all fields.
    public let bytes: [UInt8]
    /// Where each field lies in `bytes`, and what it is.
    public let places: [Place]

    /// Gives some fields to `body` piece by piece, framed as `RecordHasher.frame` frames them.
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

/// The fields of many records: one flat buffer of bytes, and for every record and path a place in it.
///
/// A growing array of rows, one row for every record extracted, `width` fields a row. Reuse it with `removeAll()`.
/// One thread at a time.
public final class FieldArena: @unchecked Sendable {
    // @unchecked: as with RawBlock, whoever holds it alone may use it.

    /// How many fields a row has: as many as the extractor has paths.
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

    /// How many records are in it.
    public var rows: Int { width == 0 ? 0 : fieldCount / width }
    /// The bytes of all fields.
    public var usedBytes: Int { byteCount }
    /// The memory that it holds.
    public var capacity: Int { byteCapacity + fieldCapacity * MemoryLayout<sluice_json_field>.stride }

    public func removeAll() {
        byteCount = 0
        fieldCount = 0
    }

    /// Takes the last row back, for a record that turns out not to be wanted.
    public func removeLastRow() {
        guard fieldCount >= width, width > 0 else { return }
        fieldCount -= width
        byteCount = Int(fields[fieldCount].offset)
    }

    @inline(__always)
    public func kind(_ row: Int, _ field: Int) -> FieldKind {
        FieldKind(rawValue: fields[row * width + field].kind)!
    }

    /// The bytes of a field (empty for missing and null), valid until the arena changes.
    @inline(__always)
    public func value(_ row: Int, _ field: Int) -> UnsafeRawBufferPointer {
        let place = fields[row * width + field]
        return UnsafeRawBufferPointer(start: bytes + Int(place.offset), count: Int(place.length))
    }

    /// The bytes of all fields, valid until the arena changes.
    public var bytesInUse: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: byteCount) }

    /// Where a field lies in `bytesInUse`, and what it is.
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

/// Reads the turns of a `chat` field: (4-byte little-endian length, role, 4-byte length, content), again and again.
public struct RawChatTurns: Sequence, IteratorProtocol {
    public typealias Turn = (role: UnsafeRawBufferPointer, content: UnsafeRawBufferPointer)

    private var rest: UnsafeRawBufferPointer

    /// - Parameter encoded: the value of a field of kind `chat`.
    public init(_ encoded: UnsafeRawBufferPointer) { rest = encoded }

    public mutating func next() -> Turn? {
        guard let role = part(), let content = part() else { return nil }
        return (role, content)
    }

    private mutating func part() -> UnsafeRawBufferPointer? {
        guard rest.count >= 4 else { return nil }
        let length = Int(UInt32(littleEndian: rest.loadUnaligned(as: UInt32.self)))
        guard rest.count - 4 >= length else { return nil }
        defer { rest = UnsafeRawBufferPointer(rebasing: rest[(4 + length)...]) }
        return UnsafeRawBufferPointer(rebasing: rest[4..<(4 + length)])
    }
}
