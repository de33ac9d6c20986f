public import SluiceHTTP
public import SluiceIO

/// Objects of an S3-compatible store as inputs: `s3://bucket/key`, with the patterns that files have.
///
/// The server, the region and the credentials are those that AWS's programs find (`S3Settings`). Objects are found with
/// `ListObjectsV2` or `HeadObject` and read in ranges, each only if the object is still the one that was found, by its
/// etag. Failures that may pass are tried again.
///
/// Cost: a request for each 1,000 names that a pattern's fixed beginning has, one for each name without a pattern, and one
/// for each 4 MiB read. An open object takes `objectBytes` of memory.
public final class S3Inputs: InputStore, @unchecked Sendable {
    // @unchecked: `found` is only accessed with `monitor` locked.

    /// What all paths of the store begin with.
    public static let scheme = S3Address.scheme
    /// Memory of an open object: what it reads ahead, and the connections for that.
    public static let objectBytes = ReadAhead.bufferBytes + 8 << 20

    private let client: S3Client
    private let monitor = Monitor()
    /// What is known of objects, by the bytes of their paths: `String` takes different ones for equal.
    private var found: [[UInt8]: S3Facts] = [:]

    /// Sends nothing, and reads no setting.
    ///
    /// - Parameters:
    ///   - backoff: how often and how soon requests that failed are sent again.
    ///   - isStopped: asked about once a second during requests; if it returns true, they end with `IOFailure.Code.stopped`.
    public init(backoff: Backoff = Backoff(attempts: 8), isStopped: @escaping @Sendable () -> Bool = { false }) {
        client = S3Client(backoff: backoff, isStopped: isStopped)
    }

    public func openBytes(ofInputs pattern: String) -> Int { Self.objectBytes }

    // MARK: Finding

    public func inputs(matching path: String) throws(IOFailure) -> [String] {
        var paths: [String] = []
        for alternative in S3Pattern.alternatives(of: path) {
            let address = try S3Address(alternative)
            // A name that contains brackets or stars is taken literally, if there is one.
            let isPattern = S3Pattern.isPattern(address.key)
            if try look(at: address, mayBeDenied: isPattern) != nil {
                paths.append(alternative)
            } else if isPattern {
                paths += try list(S3Pattern(address.key), in: address.bucket, shown: alternative)
            } else if try isFolder(address) {
                paths.append(alternative)
            }
        }
        return paths
    }

    public func status(ofInput path: String) throws(IOFailure) -> InputStatus? {
        if let facts = monitor.locked({ found[Array(path.utf8)] }) { return facts.status }
        let address = try S3Address(path)
        if let facts = try look(at: address, mayBeDenied: false) { return facts.status }
        return try isFolder(address) ? InputStatus(size: 0, version: "", isFolder: true) : nil
    }

    public func open(input path: String) throws(IOFailure) -> any InputFile {
        let address = try S3Address(path)
        var facts = monitor.locked { found[Array(path.utf8)] }
        if facts == nil { facts = try look(at: address, mayBeDenied: false) }
        guard let facts else {
            throw IOFailure(.cannotOpen, path: path, found: "there is no such object", advice: "Check the name.")
        }
        return S3Object(S3Source(client: client, address: address, path: path, facts: facts))
    }

    private func note(_ facts: S3Facts, of path: String) { monitor.locked { found[Array(path.utf8)] = facts } }

    /// Asks for an object; nil if there is none.
    ///
    /// - Parameter mayBeDenied: whether an answer that refuses is no error: a name with stars is rarely an object's.
    private func look(at address: S3Address, mayBeDenied: Bool) throws(IOFailure) -> S3Facts? {
        guard address.key.utf8.last != UInt8(ascii: "/") else { return nil }
        let path = address.path
        var request = S3Client.Request(method: .head, bucket: address.bucket, key: address.key)
        var body: [UInt8] = []
        let head = try client.send(request, for: path, into: &body)
        if head.isSuccess {
            let facts = S3Facts(head.headers)
            note(facts, of: path)
            return facts
        }
        if mayBeDenied { return nil }
        // The answer to HEAD has no body, which would say what is wrong.
        (request.method, request.headers) = (.get, [("range", "bytes=0-0")])
        let answer = try client.send(request, for: path, into: &body)
        if answer.status == 404, S3Failure.Reply(body).code != "NoSuchBucket" { return nil }
        throw S3Failure.refused(path, answer.isSuccess ? head : answer, body, try client.settings(for: path))
    }

    private func isFolder(_ address: S3Address) throws(IOFailure) -> Bool {
        var folder = address.key
        if folder.utf8.last != UInt8(ascii: "/") { folder += "/" }
        var body: [UInt8] = []
        let answer = try client.send(
            Self.listing(address.bucket, [("prefix", folder), ("max-keys", "1")]), for: address.path, into: &body)
        // Who may read an object may not always list its bucket.
        return answer.isSuccess && !S3Page(body).entries.isEmpty
    }

    /// - Parameter shown: names the pattern in errors.
    private func list(_ pattern: S3Pattern, in bucket: String, shown: String) throws(IOFailure) -> [String] {
        var paths: [String] = []
        var token: String?
        var body: [UInt8] = []
        repeat {
            var query = [(name: "prefix", value: pattern.prefix)]
            if pattern.isInOneFolder { query.append(("delimiter", "/")) }
            if let token { query.append(("continuation-token", token)) }
            let answer = try client.send(Self.listing(bucket, query), for: shown, into: &body)
            guard answer.isSuccess else {
                throw S3Failure.refused(shown, answer, body, try client.settings(for: shown))
            }
            let page = S3Page(body)
            guard page.isWhole, page.next == nil || page.next != token else {
                throw IOFailure(
                    .cannotRead, path: shown, found: "the server's answer is no list of objects",
                    advice: "Check the address of the store in \(S3Settings.Variable.endpoints[0]).")
            }
            for entry in page.entries where pattern.matches(entry.key) {
                let path = S3Address(bucket: bucket, key: entry.key).path
                note(S3Facts(size: entry.size, etag: entry.etag), of: path)
                paths.append(path)
            }
            token = page.next
        } while token != nil
        return paths
    }

    /// The most bytes of a page: 1,000 names of 1,024 bytes, each up to three times as long when encoded.
    private static let mostOfPage = 8 << 20

    private static func listing(_ bucket: String, _ query: [(name: String, value: String)]) -> S3Client.Request {
        S3Client.Request(
            bucket: bucket, query: [("list-type", "2"), ("encoding-type", "url")] + query, most: mostOfPage)
    }
}

/// What is known of an object before it is read.
struct S3Facts: Sendable {
    let size: UInt64
    /// Names the content, without quotes; nil if the store gives none.
    let etag: String?

    init(size: UInt64, etag: String?) {
        self.size = size
        self.etag = etag.map(Self.bare)
    }

    /// Some stores have quotes around an etag in answers and none in lists.
    static func bare(_ etag: String) -> String {
        etag.count > 1 && etag.hasPrefix("\"") && etag.hasSuffix("\"") ? String(etag.dropFirst().dropLast()) : etag
    }

    /// - Parameter headers: of an answer to HEAD.
    init(_ headers: [String: String]) {
        self.init(size: headers["content-length"].flatMap { UInt64($0) } ?? 0, etag: headers["etag"])
    }

    var status: InputStatus { InputStatus(size: size, version: etag ?? "") }
}
