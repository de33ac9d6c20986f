import Embedder
import FaultServer
import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

/// Takes the field `text` as the text, an empty one, too.
struct Verbatim: Stage, Transform {
    static let descriptor = Descriptor(name: "verbatim", summary: "Copies a field.")
    init(options: OptionValues) {}
    let reads: [Input] = [.field("text")]
    let writes = [ColumnSpec(.text, .bytes)]
    func apply(to block: inout Block) {
        let field = block.field("text")
        var texts = BytesColumn()
        for record in 0..<block.count { texts.append(field[record].string.map { Array($0) } ?? []) }
        block.write(.text, .bytes(texts))
    }
}

/// `embed: {model: endpoint}` against a server that fails as it is told.
@Suite struct EndpointFaultTests {
    private static let server = FaultServer.start()
    private static let dimension = 32

    private static let texts = (0..<50).map { number in
        "text \(number) " + String(repeating: "word ", count: number % 7) + (number % 10 == 4 ? "漢字é" : "")
    }

    /// The stage's results for the texts, and what the server has seen.
    private struct Result {
        var vectors: [[Int8]] = []
        var empty: [Int64] = []
        var cut: [Int64] = []
        var counts: FaultServer.Counts
    }

    private static func run(
        _ server: FaultServer, _ name: String, _ faults: String, _ more: OptionValues = [:], texts: [String] = texts
    ) throws -> Result {
        let name =
            name.split(separator: "(").first.map { "\($0)-\(faults.utf8.reduce(5381) { ($0 &* 33) ^ Int($1) })" } ?? ""
        var options = more
        options["model"] = "endpoint"
        options["url"] = .text(server.url(name, faults))
        options["name"] = "m"
        if options["dimensions"] == nil { options["dimensions"] = .integer(dimension) }
        let run = try InMemoryRun(
            [StageSpec("verbatim"), StageSpec("embed", options)],
            registry: Registry([Verbatim.self, EmbedStage.self]),
            records: texts.map { #"{"text":\#(JSONValue.text($0).json)}"# })
        var result = Result(counts: server.counts(name))
        if case .vectors(let column)? = run.column(.embedding) {
            result.vectors = run.kept.indices.map { Array(column[$0]) }
        }
        if case .integers(let column)? = run.column(.emptyText) { result.empty = column }
        if case .integers(let column)? = run.column(.cutText) { result.cut = column }
        return result
    }

    private static func vector(_ text: String, dimension: Int = dimension) throws -> [Int8] {
        try Quantizer(dimension: dimension).quantize(FaultServer.vector(text, dimension: dimension))
    }

    private static func expectAll(_ result: Result) throws {
        #expect(result.vectors == (try texts.map { try vector($0) }))
        #expect(result.empty.allSatisfy { $0 == 0 } && result.cut.allSatisfy { $0 == 0 })
        #expect(result.counts["repeated"] == 0 || result.counts["requests"] > 2)
    }

    private static func message(
        _ server: FaultServer, _ name: String, _ faults: String, _ more: OptionValues = [:], texts: [String] = texts
    ) -> StageError? {
        do {
            _ = try run(server, name, faults, more, texts: texts)
            return nil
        } catch { return error as? StageError }
    }

    // MARK: What passes

    /// Every text gets its own vector, whatever the server does for a while.
    @Test(arguments: [
        "", "429x2", "429r1x1", "429dx1", "500x1", "503x2", "504x1", "408x1", "closex1", "cutx2", "countx1", "dupx1",
        "nanx1", "garbagex1", "hugex1", "order", "float", "noindex", "closing", "float+order+closing+slow5",
        "plain", "most8", "most8s422", "most8s400", "most8s500", "most1",
    ])
    func theVectorsAreThoseOfTheTexts(faults: String) throws {
        guard let server = Self.server else { return }
        let result = try Self.run(server, #function, faults, ["batch": 16, "in_flight": 2])
        try Self.expectAll(result)
        // The kit asks some questions twice.
        if faults.isEmpty { #expect(result.counts["requests"] == 5 && result.counts["connections"] <= 3) }
        // A server whose batches are smaller is soon known to be one.
        if faults.hasPrefix("most8") { #expect(result.counts["requests"] < 4 + 8 + 4) }
    }

    @Test func aSlowRequestIsRepeated() throws {
        guard let server = Self.server else { return }
        let result = try Self.run(server, #function, "hangx1", ["timeout": 1, "batch": 64])
        try Self.expectAll(result)
        #expect(result.counts["requests"] == 3)
    }

    @Test func limitsOfARequest() throws {
        guard let server = Self.server else { return }
        let texts = (0..<60).map { "\($0)" + String(repeating: "\"", count: 200) }
        let result = try Self.run(server, #function, "", ["batch": 50, "batch_bytes": 2048], texts: texts)
        #expect(result.vectors == (try texts.map { try Self.vector($0) }))
        #expect(result.counts["most_bytes"] <= 2048 + 300)
        #expect(result.counts["most_texts"] >= 3)
    }

    @Test func whatServersAreSent() throws {
        guard let server = Self.server else { return }
        let texts = ["a", " \n\t", "", "a", "b", "  c"]
        let result = try Self.run(
            server, #function, "", ["prefix": "passage: ", "request_dimensions": true, "dimensions": 24], texts: texts)
        #expect(result.empty == [0, 1, 1, 0, 0, 0])
        for (text, vector) in zip(texts, result.vectors) {
            let isEmpty = text.allSatisfy(\.isWhitespace)
            #expect(
                vector
                    == (isEmpty ? Array(repeating: 0, count: 24) : try Self.vector("passage: \(text)", dimension: 24)))
        }
        #expect(result.counts["texts"] == 5 && result.counts["empty"] == 0)
        #expect(result.counts["dimensions"] == 24)
    }

    // MARK: Long texts

    /// A text that is too long is halved until the server takes it; its neighbours are not touched.
    @Test(arguments: ["length100", "length100s500"]) func longTextsAreHalved(faults: String) throws {
        guard let server = Self.server else { return }
        var texts = Self.texts
        texts[17] = String(repeating: "漢", count: 500)
        texts[30] = String(repeating: "x", count: 101)
        let result = try Self.run(server, #function, faults, ["batch": 16], texts: texts)
        // 500 scalars of three bytes: 1500, 750, 375, 187 (which is no border, so 186): 62 scalars.
        texts[17] = String(repeating: "漢", count: 62)
        texts[30] = String(repeating: "x", count: 50)
        #expect(result.cut.indices.filter { result.cut[$0] == 1 } == [17, 30])
        #expect(result.vectors == (try texts.map { try Self.vector($0) }))
    }

    @Test func textsOverTheLimitOfBytes() throws {
        guard let server = Self.server else { return }
        var texts = Self.texts
        texts[3] = String(repeating: "漢", count: 1000)
        let result = try Self.run(server, #function, "", ["text_bytes": 1024], texts: texts)
        texts[3] = String(repeating: "漢", count: 341)
        #expect(result.vectors == (try texts.map { try Self.vector($0) }))
        #expect(result.cut.indices.filter { result.cut[$0] == 1 } == [3])
        let error = Self.message(
            server, "over", "", ["text_bytes": 1024, "long": "fail"], texts: [String(repeating: "x", count: 1025)])
        #expect(error?.code == .invalidData)
        #expect(error?.message.contains("has 1025 bytes, more than `text_bytes` (1024)") == true, "\(error as Any)")
    }

    // MARK: What does not pass

    @Test(arguments: [
        ("401", ["answered 401: Incorrect API key", "`key_env`"]),
        ("404", ["answered 404", "not found", "check `url`"]),
        ("quota", ["exceeded your current quota", "--resume"]),
        ("redirect", ["http://127.0.0.1:9/elsewhere", "`url`"]),
        ("dim", ["vectors of 33 dimensions, not 32", "dimensions: 33"]), ("count", ["vectors for", "3 times"]),
        ("garbage", ["no JSON", "3 times"]), ("dup", ["index", "3 times"]),
        ("500", ["answered 500", "2 times", "--resume"]),
        ("close", ["breaks off", "2 times"]), ("huge", ["sends too much"]), ("length3", ["even its first", "context"]),
        ("nan", ["gives NaN"]), ("429r9999", ["wait of 9999 seconds"]),
    ])
    func whatEndsTheRunIsNamed(faults: String, words: [String]) throws {
        guard let server = Self.server else { return }
        let error = try #require(Self.message(server, #function, faults, ["attempts": 2, "batch": 64]), "\(faults)")
        for word in words { #expect(error.message.contains(word), "\(faults): \(error)") }
        #expect(error.message.contains("http://127.0.0.1:"), "\(error)")
    }

    @Test func longTextsMayEndTheRun() throws {
        guard let server = Self.server else { return }
        var texts = Self.texts
        texts[17] = String(repeating: "x", count: 500)
        let error = try #require(Self.message(server, #function, "length100", ["long": "fail"], texts: texts))
        #expect(error.code == .invalidData)
        #expect(error.message.contains("refuses this text of 500 bytes") && error.message.contains("long: cut"))
    }

    // MARK: The contract

    @Test(arguments: ["", "slow2", "most5", "order+float"]) func keepsTheContract(faults: String) {
        guard let server = Self.server else { return }
        let found = StageContract.check(
            EmbedStage.self,
            options: [
                "model": "endpoint", "url": .text(server.url("contract", faults)), "name": "m", "dimensions": 32,
                "batch": 7, "in_flight": 3, "prefix": "p: ",
            ],
            records: Self.texts.map { #"{"text":\#(JSONValue.text($0).json)}"# } + [#"{"text":" "}"#],
            after: [StageSpec("verbatim")], registry: Registry([Verbatim.self, EmbedStage.self]))
        #expect(found.isEmpty, "\(found)")
    }
}
