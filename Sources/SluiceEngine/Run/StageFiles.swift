import Glibc
package import SluiceCore
package import SluiceIO

/// The files named by stage options. Their content determines the result of a run; their folder does not.
enum StageFiles {
    /// The definition with these files named like inputs: relative to its folder if they are inside it.
    static func named(_ definition: Definition, _ chain: StageChain) -> Definition {
        var named = definition
        for link in chain.links { name(type(of: link.stage).descriptor, link.index, &named) }
        return named
    }

    private static func name(_ descriptor: Descriptor, _ index: Int, _ definition: inout Definition) {
        let input = definition.input
        for option in descriptor.options {
            guard let value = definition.stages[index].options[option.name] else { continue }
            definition.stages[index].options[option.name] = renamed(value, option.kind) { input.name(of: $0) }
        }
    }

    /// The definition with all paths as they would stand in its file.
    static func relative(_ definition: Definition, _ registry: Registry) -> Definition {
        var named = definition
        for (index, stage) in definition.stages.enumerated() {
            if let descriptor = registry[stage.name]?.descriptor { name(descriptor, index, &named) }
        }
        named.output.directory = definition.input.name(of: definition.output.directory)
        named.answers = definition.answers.map { definition.input.name(of: $0) }
        return named
    }

    /// `stage`, `option`, `file`, `bytes` and `content` of each; `content` is null if the path can't be read as a file,
    /// which the stage itself has to report.
    static func report(_ definition: Definition, _ chain: StageChain, fileSystem: FileSystem) -> [JSONValue] {
        chain.links.flatMap { link in
            type(of: link.stage).descriptor.options.flatMap { option in
                paths(link.spec.options[option.name], option.kind).map { path in
                    let facts =
                        option.isLarge
                        ? try? fileSystem.identity(of: path)
                        : (try? fileSystem.digest(of: path)).map { ($0.bytes, Self.spelled($0.hash)) }
                    return .object([
                        .init("stage", .text(link.label)), .init("option", .text(option.name)),
                        .init("file", .text(withoutDot(definition.input.name(of: path)))),
                        .init("bytes", facts.map { .integer($0.0) } ?? .null),
                        .init("content", facts.map { .text($0.1) } ?? .null),
                    ])
                }
            }
        }
    }

    static let sampledPrefix = "xxh3-128-of-pages:"

    static func spelled(_ hash: ContentHash) -> String { "xxh3-128:" + hexadecimal(hash) }

    /// Files with the same name but other content, as phrases.
    static func differences(_ old: JSONValue, _ new: JSONValue) -> [String] {
        new.elements.compactMap { file in
            let before = old.elements.first { old in ["stage", "option", "file"].allSatisfy { old[$0] == file[$0] } }
            guard let before, before["content"] != file["content"] else { return nil }
            let name = "\(file["file"]?.textValue ?? "?"), which stage `\(file["stage"]?.textValue ?? "?")` reads,"
            return file["content"] == .null ? "\(name) is gone" : "\(name) has changed"
        }
    }

    /// `./stage.py` is how a path without a folder is written, so that it is no name of a program.
    private static func withoutDot(_ name: String) -> String { name.hasPrefix("./") ? String(name.dropFirst(2)) : name }

    /// Whether a word of a command stands for a file.
    private static func isFile(_ word: String) -> Bool {
        var found = stat()
        return word.utf8.contains(UInt8(ascii: "/")) && stat(word, &found) == 0 && found.st_mode & S_IFMT == S_IFREG
    }

    private static func paths(_ value: OptionValue?, _ kind: OptionKind) -> [String] {
        var found: [String] = []
        if let value {
            _ = renamed(value, kind) {
                found.append($0)
                return $0
            }
        }
        return found
    }

    private static func renamed(_ value: OptionValue, _ kind: OptionKind, _ name: (String) -> String) -> OptionValue {
        switch (kind, value) {
        case (.path, .text(let path)): .text(name(path))
        case (.word, .text(let word)): .text(isFile(word) ? withoutDot(name(word)) : word)
        case (.list(let kind), .list(let values)): .list(values.map { renamed($0, kind, name) })
        case (.map(let kind), .map(let values)): .map(values.mapValues { renamed($0, kind, name) })
        case (.either(let kinds), _):
            kinds.first { $0.normalized(value) != nil }.map { renamed(value, $0, name) } ?? value
        default: value
        }
    }
}

extension InputStore {
    private static var sampled: (limit: UInt64, pages: UInt64, page: Int) { (64 << 20, 256, 64 << 10) }

    /// What a large file is known by: of up to 64 MiB its digest, otherwise that of its size and of 256 pages of 64 KiB,
    /// spread evenly from the first to the last.
    func identity(of path: String) throws(IOFailure) -> (Int, String) {
        let file = try open(input: path)
        guard let size = try file.size(), size > Self.sampled.limit else {
            let found = try digest(of: path)
            return (found.bytes, StageFiles.spelled(found.hash))
        }
        var stream = XXHashStream()
        withUnsafeBytes(of: size.littleEndian) { stream.update($0) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.sampled.page, alignment: 64)
        defer { buffer.deallocate() }
        for page in 0..<Self.sampled.pages {
            let last = size - UInt64(Self.sampled.page)
            let offset = last.multipliedFullWidth(by: page)
            let count = try file.read(
                into: buffer, at: (Self.sampled.pages - 1).dividingFullWidth((offset.high, offset.low)).quotient)
            stream.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        return (Int(size), StageFiles.sampledPrefix + hexadecimal(stream.digest128))
    }

    /// The hash of a file's bytes as stored.
    package func digest(of path: String) throws(IOFailure) -> (hash: ContentHash, bytes: Int) {
        try digest(of: path) { _ in false } ?? (ContentHash(high: 0, low: 0), 0)
    }

    /// - Parameter endsAfter: called with the size of every piece read; if it returns true, the result is nil.
    func digest(
        of path: String, endsAfter: (Int) -> Bool
    ) throws(IOFailure) -> (hash: ContentHash, bytes: Int)? {
        let file = try open(input: path)
        var stream = XXHashStream()
        var bytes = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while true {
            let count = try file.read(into: buffer)
            if count == 0 { return (stream.digest128, bytes) }
            stream.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            bytes += count
            if endsAfter(count) { return nil }
        }
    }
}
