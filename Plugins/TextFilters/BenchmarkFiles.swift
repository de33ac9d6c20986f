import Glibc
import SluiceCore
import Synchronization

/// The files of the option `against`, and the index made of them once, however often work is made of the stage.
final class BenchmarkFiles: Sendable {
    /// An index, or only what it would take if there is no memory for it.
    struct Loaded: Sendable {
        let index: BenchmarkIndex
        let bytes: Int
    }

    private let paths: [String]
    /// The end of each path by which it differs from the others, for the ledger: the same wherever the run is started.
    let names: [String]
    private let fields: [FieldPath]
    private let n: Int
    private let shortest: Int
    private let known = Mutex<Loaded?>(nil)

    init(_ paths: [String], fields: [String], n: Int, shortest: Int) {
        self.paths = paths
        self.fields = fields.map { FieldPath($0) }
        (self.n, self.shortest) = (n, shortest)
        let parts = paths.map { $0.split(separator: "/").map(String.init) }
        var length = 1
        let longest = parts.map(\.count).max() ?? 1
        func ends() -> [String] { parts.map { $0.suffix(length).joined(separator: "/") } }
        while length < longest, Set(ends()).count < paths.count { length += 1 }
        names = ends()
    }

    /// Reads the files and makes the index.
    ///
    /// - Parameter memory: bytes that the stage may take; with less than the index needs, its size alone is found.
    /// - Throws: `StageError` with the option `against` for a file that can't be used.
    func load(memory: Int) throws(StageError) -> Loaded {
        try known.withLock { (known) throws(StageError) in
            if let known { return known }
            var words = 0, items = 0, grams = 0
            try forEachItem { _, _, item in
                words += item.count
                guard item.count >= shortest else { return }
                items += 1
                grams += max(1, item.count - n + 1)
            }
            guard items > 0 else {
                throw Self.wrong(
                    words == 0
                        ? "the files contain no words"
                        : "no line of the files has \(shortest) words, the least that is compared")
            }
            let bytes = BenchmarkIndex.bytes(grams: grams, items: items)
            guard bytes <= memory else { return Loaded(index: BenchmarkIndex(grams: 0), bytes: bytes) }
            var index = BenchmarkIndex(grams: grams)
            try forEachItem { file, line, item in
                index.add(BenchmarkIndex.Item(file: file, line: line), words: item, n: n, shortest: shortest)
            }
            let loaded = Loaded(index: index, bytes: bytes)
            known = loaded
            return loaded
        }
    }

    private static func wrong(_ message: String) -> StageError { .option("against", "`against`: \(message)") }

    /// Calls `body` with the words of each line, by file.
    private func forEachItem(_ body: (Int, Int, [UInt64]) -> Void) throws(StageError) {
        var compared = ComparedWords()
        for (file, path) in paths.enumerated() {
            var isJSON: Bool?
            try Self.forEachLine(of: path) { (line, number) throws(StageError) in
                if number == 1, line.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) || line.starts(with: [0x1F, 0x8B]) {
                    throw Self.wrong("\(path) is compressed; unpack it first")
                }
                guard let first = line.first(where: { $0 > 0x20 }) else { return }
                if isJSON == nil { isJSON = first == UInt8(ascii: "{") }
                guard isJSON == true else {
                    line.withUnsafeBufferPointer { compared.readAll($0) }
                    body(file, number, compared.hashes)
                    return
                }
                let text = try text(of: line, path, number)
                text.withUnsafeBufferPointer { compared.readAll($0) }
                body(file, number, compared.hashes)
            }
        }
    }

    /// The strings of an object, those of `fields` or all, separated by spaces.
    private func text(of line: [UInt8], _ path: String, _ number: Int) throws(StageError) -> [UInt8] {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(json: line) } catch {
            throw Self.wrong(
                "\(path):\(number): \(error.message) at byte \(error.offset); each line must be one JSON object")
        }
        var text: [UInt8] = []
        guard !fields.isEmpty else {
            Self.addStrings(of: value, to: &text)
            return text
        }
        for field in fields {
            var found: JSONValue? = value
            for key in field.keys { found = found?[key] }
            guard let found else {
                throw Self.wrong("\(path):\(number) has no field `\(field)`, which `fields` names")
            }
            Self.addStrings(of: found, to: &text)
        }
        return text
    }

    private static func addStrings(of value: JSONValue, to text: inout [UInt8]) {
        switch value {
        case .text(let string):
            text.append(contentsOf: string.utf8)
            text.append(0x20)
        case .list(let values): for value in values { addStrings(of: value, to: &text) }
        case .object(let entries): for entry in entries { addStrings(of: entry.value, to: &text) }
        default: break
        }
    }

    private static func forEachLine(
        of path: String, _ body: ([UInt8], Int) throws(StageError) -> Void
    ) throws(StageError) {
        guard let file = fopen(path, "rb") else {
            throw wrong("\(path) can't be opened: \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var buffer: UnsafeMutablePointer<CChar>?
        var room = 0
        defer { free(buffer) }
        var number = 0
        while true {
            let count = getline(&buffer, &room, file)
            guard count >= 0, let buffer else { break }
            number += 1
            let line = UnsafeRawBufferPointer(start: buffer, count: count)
            try body(Array(line.last == 0x0A ? line.dropLast() : line[...]), number)
        }
        guard ferror(file) == 0 else { throw wrong("\(path) can't be read to its end") }
    }
}
