import Glibc
import SluiceHTTP
import SluiceIO

/// Requests to a store: signed, and sent again after failures that may pass.
///
/// Any thread may use it; each request takes a connection that is idle, or makes one.
final class S3Client: @unchecked Sendable {
    // @unchecked: all that changes is only accessed with `monitor` locked; a connection belongs to the thread that has
    // taken it.

    /// A request of one bucket. No request changes anything.
    struct Request {
        var method = HTTPRequest.Method.get
        var bucket: String
        /// Empty for the bucket itself.
        var key = ""
        /// Not encoded.
        var query: [(name: String, value: String)] = []
        /// Names in lower case.
        var headers: [(name: String, value: String)] = []
        /// The most bytes of the answer, beside those of an error.
        var most = S3Client.mostOfError
        /// The bytes that an answer must have; nil for any number.
        var exactly: Int?
    }

    private static let mostOfError = 64 << 10
    /// How often a store is tried that has never answered.
    private static let firstAttempts = 4
    /// Connections kept open for later requests.
    private static let mostIdle = 16

    private let isStopped: @Sendable () -> Bool
    private let backoff: Backoff
    private let monitor = Monitor()
    private var idle: [HTTPConnection] = []
    private var known: S3Settings?
    /// Whether the store has ever answered: if not, its address may be wrong, and there is little to wait for.
    private var hasAnswered = false

    init(backoff: Backoff, isStopped: @escaping @Sendable () -> Bool) {
        (self.backoff, self.isStopped) = (backoff, isStopped)
    }

    /// Sends a request until there is an answer that is no passing failure.
    ///
    /// - Parameters:
    ///   - path: what is asked for, for messages.
    ///   - body: gets the body of the answer; its room is reused.
    ///   - isOver: also ends it, beside the client's own stop.
    /// - Throws: `IOFailure`: no connection after all attempts, a server that keeps failing, no credentials; `.stopped`.
    func send(
        _ request: Request, for path: String, into body: inout [UInt8], isOver: @escaping () -> Bool = { false }
    ) throws(IOFailure) -> HTTPResponse {
        let settings = try settings(for: path)
        var failures = 0
        while true {
            let stopped = { [isStopped] in isStopped() || isOver() }
            let failure: IOFailure
            var wait: Double?
            do throws(HTTPError) {
                let response = try once(request, settings, into: &body, isStopped: stopped)
                guard let reason = Self.reasonToRepeat(response, body, request) else {
                    return response
                }
                wait = response.retryAfter
                failure = S3Failure.ofServer(path, reason)
            } catch {
                if error.code == .stopped || stopped() { throw Self.stopped(path) }
                failure = S3Failure.ofConnection(path, error, settings.endpoint)
                guard error.isTransient else { throw failure }
            }
            failures += 1
            guard failures < Self.firstAttempts || monitor.locked({ hasAnswered }),
                let seconds = backoff.delay(after: failures, asked: wait)
            else { throw failure }
            Backoff.wait(seconds: seconds, isStopped: stopped)
            if stopped() { throw Self.stopped(path) }
        }
    }

    /// The settings, read when they are first needed.
    func settings(for path: String) throws(IOFailure) -> S3Settings {
        monitor.lock()
        defer { monitor.unlock() }
        if let known { return known }
        let found = try S3Settings(for: path)
        known = found
        return found
    }

    private static func stopped(_ path: String) -> IOFailure {
        IOFailure(.stopped, path: path, found: "reading was stopped")
    }

    // MARK: One attempt

    private func once(
        _ request: Request, _ settings: S3Settings, into body: inout [UInt8], isStopped: () -> Bool
    ) throws(HTTPError) -> HTTPResponse {
        let connection = try take()
        let response = try connection.send(
            Self.signed(request, settings, time: S3Signature.now()), into: &body, isStopped: isStopped)
        // After an error its state is unknown, so a connection is given back only here.
        giveBack(connection)
        return response
    }

    private func take() throws(HTTPError) -> HTTPConnection {
        if let connection = monitor.locked({ idle.popLast() }) { return connection }
        return try HTTPConnection()
    }

    private func giveBack(_ connection: HTTPConnection) {
        monitor.locked {
            hasAnswered = true
            if idle.count < Self.mostIdle { idle.append(connection) }
        }
    }

    static func signed(_ request: Request, _ settings: S3Settings, time: String) -> HTTPRequest {
        let (scheme, host, folder) = place(of: request.bucket, settings)
        let path = folder + "/" + PercentEncoding.encode(request.key, keepsSlashes: true)
        let query = request.query.map {
            (
                name: PercentEncoding.encode($0.name, keepsSlashes: false),
                value: PercentEncoding.encode($0.value, keepsSlashes: false)
            )
        }
        var headers = request.headers
        if let credentials = settings.credentials {
            let signature = S3Signature(credentials: credentials, region: settings.region, time: time)
            headers = signature.headers(
                for: S3Signature.Request(
                    method: request.method == .head ? "HEAD" : "GET", path: path, query: query, host: host,
                    headers: request.headers))
        }
        let words = query.isEmpty ? "" : "?" + S3Signature.query(query)
        var sent = HTTPRequest(
            request.method, scheme + host + path + words, headers: headers,
            limits: HTTPLimits(connect: 10, total: 120, answer: max(request.most, Self.mostOfError)))
        sent.wantsHeaders = true
        return sent
    }

    /// Where the objects of a bucket are. AWS wants the bucket in the name of the host, whose certificate covers no dots;
    /// all other stores know it in the path.
    private static func place(
        of bucket: String, _ settings: S3Settings
    ) -> (scheme: String, host: String, folder: String) {
        let name = PercentEncoding.encode(bucket, keepsSlashes: false)
        if let endpoint = settings.endpoint { return (endpoint.scheme, endpoint.host, "\(endpoint.path)/\(name)") }
        let host = "s3.\(settings.region).amazonaws.com" + (settings.region.hasPrefix("cn-") ? ".cn" : "")
        return bucket.contains(".") ? ("https://", host, "/\(name)") : ("https://", "\(name).\(host)", "")
    }

    /// Why the same request may succeed a little later; nil if the answer counts.
    private static func reasonToRepeat(_ response: HTTPResponse, _ body: [UInt8], _ request: Request) -> String? {
        if response.isSuccess {
            guard let count = request.exactly, response.status == 206, body.count < count else { return nil }
            return "it sent \(body.count) bytes of \(count)"
        }
        let error = S3Failure.Reply(body)
        let isPassing = ["SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"].contains(error.code)
        guard response.isTransient || isPassing else { return nil }
        return "it answered \(response.status)\(error.code.isEmpty ? "" : " (\(error.code))")"
    }
}
