import Glibc
import SluiceCore
import SluiceGeometry
import SluiceHTTP

/// What to do with a text that is too long for a server.
enum TooLongText: String, CaseIterable, Sendable {
    /// Its first half is embedded, or the half of that, and so on.
    case cut
    /// The run ends.
    case fail
}

/// The options of `embed: {model: endpoint}`: vectors by a server that speaks OpenAI's protocol.
struct EndpointPlan: EmbeddingModel {
    static let name = "endpoint"
    static let optionNames =
        ["dimensions", "long", "prefix"] + options.map(\.name)
    static let about = """
        a server with OpenAI's `/v1/embeddings`, such as vLLM, TEI, Ollama, llama.cpp or OpenAI itself. `url` is its \
        address, `name` the model's name there, `dimensions` what that model gives. Requests hold up to `batch` texts of \
        together `batch_bytes`, and `in_flight` of them are under way at a time. Failures that pass are repeated, up \
        to `attempts` times, later and later, or when the server says (`Retry-After`); batches that the server finds \
        too large are halved. A text that is too long for it is halved (`long: cut`; then the column `cut_text` is 1) or \
        ends the run (`long: fail`). A text without a letter is not sent and has the zero vector. \
        Every answer is on disk before it is used, in the folder of `answers`, under the name of the model, the \
        dimensions and the text: a run that goes on, is repeated, or shares the folder pays for nothing twice, and \
        the result is the same for the same answers. Another address is no reason to ask again; where one name stands \
        for different models, name another folder. A key is read from the environment variable that `key_env` names, \
        and is written nowhere. Needs libcurl (Debian: libcurl4).
        """

    let url: String
    let name: String
    let dimension: Int
    let asksDimensions: Bool
    let prefix: [UInt8]
    let batch: AskingBatch
    let textBytes: Int
    let width: Int
    let timeout: Int
    let backoff: Backoff
    let tooLong: TooLongText
    /// Where the key is from, and the key. Only requests hold it.
    let keyVariable: String?
    let key: String?

    init(options: OptionValues) throws(StageError) {
        try Self.checkRequired(options)
        url = try Self.address(options.text("url"))
        name = try options.text("name")
        guard !name.isEmpty else { throw .option("name", "`name` is the model's name at the server; it is empty") }
        dimension = try options.integer("dimensions")
        guard 1...VectorView.maximumDimension ~= dimension else {
            throw .option("dimensions", "vectors have at most \(VectorView.maximumDimension) dimensions")
        }
        asksDimensions = options["request_dimensions"] == nil ? false : try options.flag("request_dimensions")
        prefix = options["prefix"] == nil ? [] : Array(try options.text("prefix").utf8)
        func number(_ name: String, _ usual: Int) throws(StageError) -> Int {
            options[name] == nil ? usual : try options.integer(name)
        }
        batch = AskingBatch(questions: try number("batch", 32), bytes: try number("batch_bytes", 512 << 10))
        textBytes = try number("text_bytes", 64 << 10)
        for (name, size) in [("batch_bytes", batch.bytes), ("text_bytes", textBytes)]
        where !(1 << 10...16 << 20).contains(size) {
            throw .option(name, "`\(name)` is from 1KiB to 16MiB")
        }
        guard prefix.count <= 4 << 10 else { throw .option("prefix", "`prefix` has more than 4 KiB") }
        width = try number("in_flight", 32)
        timeout = try number("timeout", 300)
        backoff = Backoff(attempts: try number("attempts", 6))
        tooLong = options["long"] == nil ? .cut : try Self.tooLong(options.text("long"))
        keyVariable = options["key_env"] == nil ? nil : try options.text("key_env")
        key = try keyVariable.map(Self.key)
        do throws(HTTPError) { try HTTPLibrary.load() } catch {
            throw .option("model", "`model: endpoint` needs libcurl: \(error)")
        }
    }

    /// Of no known model are different texts within it. One that puts all texts close together, as e5 does, is the
    /// reason for so little: look at some pairs, and set the distance where it is used.
    var nearDuplicateDistance: Double? { 0.01 }
    var marksCuts: Bool { true }

    func body(_ context: StageContext, writing columns: VectorColumns) -> StageBody {
        .asking(EndpointEmbedding(plan: self, columns: columns))
    }

    // MARK: Options

    private static func checkRequired(_ options: OptionValues) throws(StageError) {
        let needed = [
            ("url", "the address of a server, such as `url: http://localhost:8000`"),
            ("name", "the model's name at the server, such as `name: BAAI/bge-m3`"),
            ("dimensions", "the number of components of the model's vectors, such as `dimensions: 1024`"),
        ]
        for (name, what) in needed where options[name] == nil {
            throw .option(name, "`model: endpoint` needs \(what)")
        }
    }

    /// The full address: of a server, its `/v1`, or the whole.
    static func address(_ given: String) throws(StageError) -> String {
        if let fault = HTTPConnection.fault(ofAddress: given) {
            let advice = given.contains("@") ? "; name the environment variable with the key in `key_env`" : ""
            throw .option("url", "`url` \(fault)\(advice)")
        }
        let query = given.firstIndex { $0 == "?" || $0 == "#" } ?? given.endIndex
        var path = given[..<query]
        while path.hasSuffix("/") { path.removeLast() }
        if !path.hasSuffix("/embeddings") { path += path.hasSuffix("/v1") ? "/embeddings" : "/v1/embeddings" }
        return String(path) + given[query...]
    }

    private static func tooLong(_ word: String) throws(StageError) -> TooLongText {
        guard let policy = TooLongText(rawValue: word) else {
            throw .option("long", "with `model: endpoint`, `long` is cut or fail, not \(word)")
        }
        return policy
    }

    private static func key(in variable: String) throws(StageError) -> String {
        guard let value = getenv(variable).map({ String(cString: $0) }), !value.isEmpty else {
            throw .option("key_env", "the environment variable \(variable) is not set; it should hold the server's key")
        }
        // A key from a file often ends with its line's end.
        let words = value.split { $0.isWhitespace }
        guard words.count == 1, let key = words.first.map({ String($0) }),
            key.utf8.allSatisfy({ 0x20 < $0 && $0 < 0x7F })
        else {
            throw .option("key_env", "the environment variable \(variable) holds no key of letters, digits and signs")
        }
        return key
    }
}

extension EndpointPlan {
    /// The options of this model alone.
    static let options = [
        OptionSpec(
            "url", .text, help: "endpoint: the address of the server, with or without /v1/embeddings",
            example: "http://localhost:8000"),
        OptionSpec("name", .text, help: "endpoint: the model's name at the server", example: "BAAI/bge-m3"),
        OptionSpec(
            "request_dimensions", .flag,
            help: "endpoint: ask the server for vectors of `dimensions` components (false)", example: "true"),
        OptionSpec("batch", .integer(1...2048), help: "endpoint: most texts in a request (32)", example: "64"),
        OptionSpec(
            "batch_bytes", .size, help: "endpoint: most bytes of a request (512KiB)", example: "1MiB"),
        OptionSpec(
            "text_bytes", .size,
            help: "endpoint: bytes of a text that count; the server's limit in tokens holds as well (64KiB)",
            example: "16KiB"),
        OptionSpec(
            "in_flight", .integer(1...1024), help: "endpoint: requests under way at a time (32)", example: "256"),
        OptionSpec(
            "timeout", .integer(1...86_400), help: "endpoint: seconds that a request may take (300)", example: "60"),
        OptionSpec(
            "attempts", .integer(1...100), help: "endpoint: most times that a request is sent (6)", example: "10"),
        OptionSpec(
            "key_env", .text, help: "endpoint: the environment variable with the key; without it none is sent",
            example: "OPENAI_API_KEY"),
    ]
}
