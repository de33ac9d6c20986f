import Embedder
import Glibc
import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

/// Vectors made elsewhere: by id in every form, by row, and from a field of the record.
@Suite struct FileModelTests {
    /// A folder of files, removed with its last holder.
    final class Folder {
        let path: String
        private var names: [String] = []

        init() {
            var name = Array("/tmp/sluice-files-XXXXXX".utf8CString)
            path = mkdtemp(&name).map { String(cString: $0) } ?? "/tmp"
        }

        deinit {
            for name in names { unlink("\(path)/\(name)") }
            rmdir(path)
        }

        @discardableResult func write(_ name: String, _ bytes: [UInt8]) -> String {
            names.append(name)
            if let file = fopen("\(path)/\(name)", "wb") {
                fwrite(bytes, 1, bytes.count, file)
                fclose(file)
            }
            return "\(path)/\(name)"
        }

        func npy(_ name: String, _ descriptor: String, _ shape: String, _ bytes: [UInt8]) -> String {
            let header = Array("{'descr': '\(descriptor)', 'fortran_order': False, 'shape': \(shape), }\n".utf8)
            let start: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.count), 0]
            return write(name, start + header + bytes)
        }
    }

    static let dimension = 16
    static let count = 40
    static let floats: [Float] = {
        var generator = Seed(5)
        return (0..<count * dimension).map { index in
            generator = Seed(Seed.mix(generator.value &+ UInt64(index)))
            return Float(Int(generator.value % 2001) - 1000) / 100
        }
    }()

    static var expected: [Int8] { (try? Quantizer(dimension: dimension).quantize(floats)) ?? [] }

    static func bytes<T>(_ values: [T]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

    /// Records with the ids 0 to count - 1, every third one a number.
    static let records: [[FieldPath: TestField]] = (0..<count).map { index in
        ["id": index % 3 == 0 ? .json("\(index)") : .string("\(index)")]
    }

    /// The vectors and marks that the stage gives to records.
    static func embed(
        _ records: [[FieldPath: TestField]], paths: [FieldPath], _ options: OptionValues
    ) throws -> (vectors: [Int8], empty: [Int64], drops: [Drop]) {
        var all = options
        all["model"] = "file"
        let stage = try EmbedStage.make(all)
        guard case .transform(let transform) = try stage.body(context("embed")) else { throw NoTransform() }
        var block = makeBlock(records, paths: paths)
        try transform.apply(once: &block, context("embed"))
        return (try block.vectors(.embedding).values, try block.integers(.emptyText), block.drops)
    }

    /// The rows of the files, in another order than the records.
    private static let order = (0..<count).map { $0 * 17 % count }

    private static func shuffled(_ folder: Folder) -> OptionValue {
        let rows = order.flatMap { floats[($0 * dimension)..<(($0 + 1) * dimension)] }
        return .text(folder.npy("vectors.npy", "<f4", "(\(count), \(dimension))", bytes(rows)))
    }

    @Test func everyFormOfIds() throws {
        let folder = Folder()
        let path = Self.shuffled(folder)
        let order = Self.order
        func wide(_ text: String) -> [UInt8] {
            let scalars = text.unicodeScalars.map(\.value)
            return Self.bytes(scalars + [UInt32](repeating: 0, count: 4 - scalars.count))
        }
        let forms = [
            folder.npy("a.npy", "<i8", "(40,)", Self.bytes(order.map { Int64($0) })),
            folder.npy("b.npy", "<u2", "(40,)", Self.bytes(order.map { UInt16($0) })),
            folder.npy("c.npy", "|i1", "(40,)", Self.bytes(order.map { Int8($0) })),
            folder.npy("d.npy", "<U4", "(40,)", order.flatMap { wide("\($0)") }),
            folder.npy("e.npy", "|S3", "(40,)", order.flatMap { Array("\($0)\0\0\0".utf8.prefix(3)) }),
            folder.write("f.txt", Array(order.map { "\($0)\r\n" }.joined().utf8)),
            folder.write("g.jsonl", Array(order.map { $0 % 2 == 0 ? "\($0)\n" : "\"\($0)\"\n" }.joined().utf8)),
        ]
        for ids in forms {
            let made = try Self.embed(
                Self.records, paths: ["id"], ["path": path, "id": "id", "ids": .text(ids)])
            #expect(made.vectors == Self.expected, "\(ids)")
            #expect(made.empty.allSatisfy { $0 == 0 } && made.drops.isEmpty)
        }
    }

    @Test func rowsByLine() throws {
        let folder = Folder()
        let path = folder.npy("v.npy", "<f4", "(40, 16)", Self.bytes(Self.floats))
        #expect(try Self.embed(Self.records, paths: [], ["path": .text(path)]).vectors == Self.expected)
        let fewer = folder.npy("w.npy", "<f4", "(39, 16)", Self.bytes(Array(Self.floats.dropLast(16))))
        let error = stageError { _ = try Self.embed(Self.records, paths: [], ["path": .text(fewer)]) }
        #expect(error?.message.contains("has 39 rows") == true && error?.ordinal == Ordinal(file: 0, line: 40))
        let dropped = try Self.embed(Self.records, paths: [], ["path": .text(fewer), "missing": "drop"])
        #expect(dropped.drops.map(\.record) == [39] && dropped.drops[0].reason == "no-vector")
        #expect(dropped.vectors == Self.expected.dropLast(16) + [Int8](repeating: 0, count: 16))
        let zero = try Self.embed(Self.records, paths: [], ["path": .text(fewer), "missing": "zero"])
        #expect(zero.drops.isEmpty && zero.empty == [Int64](repeating: 0, count: 39) + [1])
    }

    @Test func fieldsOfTheRecord() throws {
        func row(_ index: Int) -> ArraySlice<Float> { Self.floats[(16 * index)..<(16 * index + 16)] }
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        func base64(_ bytes: [UInt8]) -> String {
            var text: [UInt8] = []
            for start in stride(from: 0, to: bytes.count, by: 3) {
                let part = Array(bytes[start..<min(start + 3, bytes.count)])
                let word = (0..<3).reduce(UInt32(0)) { $0 << 8 | UInt32($1 < part.count ? part[$1] : 0) }
                for place in 0..<4 {
                    text.append(place <= part.count ? digits[Int(word >> UInt32(18 - 6 * place) & 63)] : 0x3D)
                }
            }
            return String(decoding: text, as: UTF8.self)
        }
        let records: [[FieldPath: TestField]] = (0..<Self.count).map { index in
            switch index % 3 {
            case 0: ["v": .json("[" + row(index).map { "\($0)" }.joined(separator: ",") + "]")]
            case 1: ["v": .json("[ " + row(index).map { "\(Double($0))" }.joined(separator: " ,\n ") + " ]")]
            default: ["v": .string(base64(Self.bytes(Array(row(index)))))]
            }
        }
        let made = try Self.embed(records, paths: ["v"], ["field": "v", "dimensions": 16])
        #expect(made.vectors == Self.expected)
        let refused: [(TestField, String)] = [
            (.json("[1,2]"), "has 2 numbers, and `dimensions` is 16"), (.json("[1,,2]"), "no list of numbers"),
            (.json("[1,2,]"), "has 2 numbers"), (.json("[[1]]"), "no list of numbers"),
            (.json("7"), "no list of numbers"),
            (.json("[1e999,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"), "NaN, infinite or too large"),
            (.string("a b"), "neither a list of numbers nor base64"), (.string("AAAA"), "of whole float32 numbers"),
            (.null, "`v` is missing"), (.json("[]"), "has 0 numbers"), (.json("{}"), "no list"),
        ]
        for (value, words) in refused {
            let error = stageError {
                _ = try Self.embed([["v": value]], paths: ["v"], ["field": "v", "dimensions": 16])
            }
            #expect(error?.message.contains(words) == true, "\(error?.message ?? "accepted")")
        }
    }

    @Test func whatIsRefusedBeforeReading() {
        let folder = Folder()
        let path = Self.shuffled(folder)
        let other = folder.npy("other.npy", "<f4", "(1, 8)", Self.bytes([Float](repeating: 1, count: 8)))
        let ids = folder.write("ids.txt", Array("1\n".utf8))
        let objects = folder.npy("objects.npy", "|O", "(40,)", [])
        let refused: [(OptionValues, String, String)] = [
            ([:], "model", "needs either `path`"), (["field": "v"], "dimensions", "needs `dimensions`"),
            (["field": "v", "dimensions": 16, "ids": "x"], "ids", "goes with `path`"),
            (["path": "/nowhere.npy"], "path", "can't be opened"), (["path": .text(ids)], "path", "not a .npy file"),
            (["path": path, "id": "id"], "id", "go together"),
            (["path": path, "ids": .text(ids)], "ids", "go together"),
            (["path": path, "dimensions": 8], "dimensions", "have 16 components, not 8"),
            (["path": .list([path, .text(other)])], "path", "16 components and those of"),
            (["path": .list([])], "path", "empty list"),
            (["path": path, "id": "id", "ids": .text(objects)], "ids", "Python objects"),
            (["path": path, "id": "id", "ids": path], "ids", "one dimension"),
            (["path": path, "reservoir": 100], "reservoir", "goes with `model: lsa`"),
        ]
        for (options, option, words) in refused {
            var options = options
            options["model"] = "file"
            let error = stageError { _ = try EmbedStage.make(options) }
            #expect(
                error?.option == option && error?.message.contains(words) == true, "\(error?.message ?? "accepted")")
        }
    }

    @Test func idsThatDoNotFit() {
        let folder = Folder()
        let path = Self.shuffled(folder)
        func message(_ lines: [String], _ name: String) -> String {
            let ids = folder.write(name, Array(lines.map { $0 + "\n" }.joined().utf8))
            let error = stageError {
                _ = try Self.embed(Self.records, paths: ["id"], ["path": path, "id": "id", "ids": .text(ids)])
            }
            return error?.message ?? ""
        }
        let right = Self.order.map { "\($0)" }
        #expect(message(right.dropLast(), "a.txt").contains("has 39 ids, and `path` has 40 vectors"))
        #expect(message(right + ["x"], "b.txt").contains("more than 40 ids"))
        #expect(message(right.dropLast() + [right[3]], "c.txt").contains("the id of row 4 again in row 40"))
        #expect(message(right.dropLast() + ["x"], "d.txt").contains("`ids` has no `\(Self.order[39])`"))
        #expect(message(right.dropLast() + ["{}"], "e.jsonl").contains("e.jsonl:40: an id is a JSON string or number"))
        #expect(message([String(repeating: "7", count: 1 << 21)], "f.txt").contains("f.txt:1: the line has"))
    }

    @Test func keepsTheContract() {
        let folder = Folder()
        let path = Self.shuffled(folder)
        let ids = folder.write("ids.txt", Array(Self.order.map { "\($0)\n" }.joined().utf8))
        let records = (0..<60).map {
            #"{"id": \#($0 % 45), "v": [\#($0), 2, \#($0 % 7)\#(String(repeating: ", 1", count: 13))]}"#
        }
        for missing in ["drop", "zero"] as [OptionValue] {
            #expect(
                StageContract.check(
                    EmbedStage.self,
                    options: ["model": "file", "path": path, "id": "id", "ids": .text(ids), "missing": missing],
                    records: records) == [])
        }
        #expect(
            StageContract.check(
                EmbedStage.self, options: ["model": "file", "field": "v", "dimensions": 16, "as": "gradients"],
                records: records) == [])
    }
}
