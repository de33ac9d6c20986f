import Glibc
import SluiceCore
import SluiceGeometry

/// A file with the ids of vectors, one per row: a `.npy` array of integers or strings, JSON values one per line
/// (`.jsonl`), or text lines.
///
/// An id is compared as text: the integer 7, the JSON value 7 and the line `7` are one id, and so are the string "a" and
/// the line `a`.
struct IdFile: Sendable {
    let path: String
    private let form: Form

    private enum Form: Sendable {
        case integers(NpyArray, bytes: Int, isSigned: Bool)
        /// Characters of 4 bytes, as NumPy's `U`.
        case wide(NpyArray, length: Int)
        /// As NumPy's `S`.
        case narrow(NpyArray, length: Int)
        case lines(isJSON: Bool)
    }

    /// - Throws: if the file's name or header shows that it can't be used.
    init(_ path: String) throws(StageError) {
        self.path = path
        guard path.hasSuffix(".npy") else {
            form = .lines(isJSON: path.hasSuffix(".jsonl"))
            return
        }
        do throws(VectorFileError) {
            var array = try NpyArray(path)
            guard array.shape.count == 1 else {
                throw VectorFileError(path, "ids need an array of one dimension; it has \(array.shape.count)")
            }
            let type = array.descriptor
            let length = Int(type.dropFirst(2)) ?? 0
            switch type.prefix(2) {
            case "<i", "|i", "<u", "|u": form = .integers(array, bytes: length, isSigned: type.contains("i"))
            case "<U": form = .wide(array, length: length)
            case "|S": form = .narrow(array, length: length)
            default:
                throw VectorFileError(
                    path,
                    type.contains("O")
                        ? "it contains Python objects; save ids as an array of integers or strings (dtype `U` or `S`)"
                        : "it contains numbers of type \(type); ids are integers or strings")
            }
            try array.check(item: type.hasPrefix("<U") ? 4 * length : length)
        } catch {
            throw Self.wrong(error.description)
        }
    }

    /// The longest line of ids, in bytes.
    private static let longestLine = 1 << 20

    static func wrong(_ message: String) -> StageError { .option("ids", "`ids`: \(message)") }

    /// Goes through all ids in order.
    ///
    /// - Throws: if the file can't be read, or an id is no id.
    func forEach(_ use: (UnsafeBufferPointer<UInt8>) throws(StageError) -> Void) throws(StageError) {
        switch form {
        case .lines(let isJSON): try forEachLine(isJSON, use)
        case .integers(let array, let bytes, let isSigned):
            try forEachItem(of: array, bytes: bytes) { (item) throws(StageError) in
                var value: UInt64 = 0
                for index in (0..<bytes).reversed() { value = value << 8 | UInt64(item[index]) }
                let shift = UInt64(64 - 8 * bytes)
                let text = isSigned ? String(Int64(bitPattern: value << shift) >> Int64(shift)) : String(value)
                try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(StageError) in try use(bytes) }
            }
        case .narrow(let array, let length):
            try forEachItem(of: array, bytes: length) { (item) throws(StageError) in
                let end = (item.lastIndex { $0 != 0 } ?? -1) + 1
                try use(UnsafeBufferPointer(rebasing: item[..<end]))
            }
        case .wide(let array, let length):
            try forEachItem(of: array, bytes: 4 * length) { (item) throws(StageError) in
                var text = String.UnicodeScalarView()
                for place in 0..<length {
                    let value = (0..<4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32(item[4 * place + $1]) }
                    guard value != 0 else { break }
                    guard let scalar = Unicode.Scalar(value) else {
                        throw Self.wrong("\(path) has a string that is not Unicode")
                    }
                    text.append(scalar)
                }
                try Array(String(text).utf8).withUnsafeBufferPointer { (bytes) throws(StageError) in try use(bytes) }
            }
        }
    }

    private func open() throws(StageError) -> UnsafeMutablePointer<FILE> {
        guard let file = fopen(path, "rb") else {
            throw Self.wrong("\(path) can't be opened: \(String(cString: strerror(errno)))")
        }
        return file
    }

    private func forEachItem(
        of array: NpyArray, bytes: Int, _ use: (UnsafeBufferPointer<UInt8>) throws(StageError) -> Void
    ) throws(StageError) {
        guard bytes > 0 else { throw Self.wrong("\(path): its ids are empty strings") }
        let file = try open()
        defer { fclose(file) }
        fseek(file, array.start, SEEK_SET)
        let most = max(1, (1 << 18) / bytes)
        var buffer = [UInt8](repeating: 0, count: most * bytes)
        for first in stride(from: 0, to: array.shape[0], by: most) {
            let count = min(most, array.shape[0] - first)
            guard fread(&buffer, bytes, count, file) == count else {
                throw Self.wrong("\(path) became shorter while it was read")
            }
            try buffer.withUnsafeBufferPointer { (all) throws(StageError) in
                for item in 0..<count {
                    try use(UnsafeBufferPointer(rebasing: all[(item * bytes)..<((item + 1) * bytes)]))
                }
            }
        }
    }

    private func forEachLine(
        _ isJSON: Bool, _ use: (UnsafeBufferPointer<UInt8>) throws(StageError) -> Void
    ) throws(StageError) {
        let file = try open()
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        var number = 0
        while true {
            let length = getline(&line, &capacity, file)
            guard length > 0, let line else { break }
            number += 1
            guard length <= Self.longestLine else {
                throw Self.wrong("\(path):\(number): the line has \(length) bytes; write one id per line")
            }
            var end = length
            while end > 0, line[end - 1] == 0x0A || line[end - 1] == 0x0D { end -= 1 }
            let bytes = UnsafeBufferPointer(
                start: UnsafeRawPointer(line).assumingMemoryBound(to: UInt8.self), count: end)
            if number == 1, bytes.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) || bytes.starts(with: [0x1F, 0x8B]) {
                throw Self.wrong("\(path) is compressed; unpack it")
            }
            guard isJSON else {
                try use(bytes)
                continue
            }
            let id = Self.id(json: bytes)
            guard let id else {
                throw Self.wrong("\(path):\(number): an id is a JSON string or number, one per line")
            }
            try id.withUnsafeBufferPointer { (bytes) throws(StageError) in try use(bytes) }
        }
        guard ferror(file) == 0 else { throw Self.wrong("\(path) can't be read to its end") }
    }

    /// A string's characters, or a number as it is spelled.
    private static func id(json line: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard let first = line.first else { return nil }
        if first == 0x2D || (0x30...0x39).contains(first) { return Array(line) }
        guard first == 0x22, let text = try? JSONValue(json: Array(line)).textValue else { return nil }
        return Array(text.utf8)
    }
}
