import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Lines sorted on disk against a plain stable sort.
@Suite struct LineSorterTests {
    private static func folder() -> String {
        var name = Array("/tmp/sluice-sorter-XXXXXX".utf8CString)
        return mkdtemp(&name).map { String(cString: $0) } ?? "/tmp"
    }

    private static func sorted(
        _ lines: [(key: [UInt8], line: [UInt8])], memory: Int, in folder: String, _ fileSystem: FileSystem = .local
    ) throws -> [(key: [UInt8], line: [UInt8])] {
        let sorter = LineSorter(folder: folder, memory: memory, fileSystem: fileSystem)
        for (key, line) in lines {
            try key.withUnsafeBytes { key in try line.withUnsafeBytes { try sorter.add(key: key, line: $0) } }
        }
        #expect(sorter.count == lines.count)
        var found: [(key: [UInt8], line: [UInt8])] = []
        var piece: [UInt8] = []
        try sorter.forEach { key, part, isLast in
            piece.append(contentsOf: part)
            guard isLast else { return }
            found.append((Array(key), piece))
            piece = []
        }
        #expect(piece.isEmpty)
        return found
    }

    /// Keys of few and of many values, empty ones, and such as begin with each other; lines from empty to beyond the memory.
    private static func lines(_ count: Int, longest: UInt64, seed: UInt64) -> [(key: [UInt8], line: [UInt8])] {
        var draws = SplitMix64(state: seed)
        return (0..<count).map { index in
            let key = (0..<Int(draws.next(below: 12))).map { _ in [0, 1, 0xFF, 65][Int(draws.next(below: 4))] as UInt8 }
            let length = draws.next(below: 50) == 0 ? Int(draws.next(below: longest)) : Int(draws.next(below: 60))
            return (key, Array("\(index) ".utf8) + [UInt8](repeating: UInt8(index & 0x7F), count: length))
        }
    }

    @Test(arguments: [(0, 1), (1, 1), (3000, 1 << 30), (3000, 1), (20_000, 1)])
    func agreesWithAStableSort(count: Int, memory: Int) throws {
        let folder = Self.folder()
        defer { rmdir(folder) }
        // With the least memory a line of up to 200 KB is a run of its own, and there are several rounds of merging.
        let lines = Self.lines(count, longest: count > 5000 ? 2000 : 200_000, seed: UInt64(count))
        let found = try Self.sorted(lines, memory: memory, in: folder)
        let expected = lines.enumerated().sorted { a, b in
            a.element.key == b.element.key
                ? a.offset < b.offset : a.element.key.lexicographicallyPrecedes(b.element.key)
        }.map(\.element)
        #expect(found.map(\.key) == expected.map(\.key))
        #expect(found.map(\.line) == expected.map(\.line))
        #expect(try FileSystem.local.entries(of: folder).isEmpty)
    }

    /// Every call of the file system fails in turn: an error, and nothing left behind.
    @Test func failuresAreErrors() throws {
        let folder = Self.folder()
        defer { try? FileSystem.local.removeTree(folder) }
        let lines = Self.lines(4000, longest: 70_000, seed: 9)
        for failing in stride(from: 1, to: 3000, by: 7) {
            let calls = Counter()
            // What can't be removed is left.
            let fileSystem = FileSystem.local.intercepting { operation, _ in
                operation != .remove && calls.next() == failing ? .fail(ENOSPC) : .proceed
            }
            do {
                _ = try Self.sorted(lines, memory: 1 << 20, in: folder, fileSystem)
                // There were fewer calls.
                #expect(calls.value < failing && failing > 50, "call \(failing) failed without an error")
                return
            } catch let failure as IOFailure { #expect(failure.errno == ENOSPC) }
        }
        Issue.record("there are more calls than were tried")
    }

    @Test func aStopEndsIt() throws {
        let sorter = LineSorter(folder: "/tmp", memory: 1, fileSystem: .local) { true }
        #expect(throws: IOFailure.self) {
            try [1 as UInt8].withUnsafeBytes { try sorter.add(key: $0, line: $0) }
        }
    }
}
