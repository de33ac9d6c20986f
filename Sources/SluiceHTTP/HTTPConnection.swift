import CCurl
import Glibc

/// libcurl, which is loaded when it is first needed.
public enum HTTPLibrary {
    /// Names another library, for systems without the usual one.
    public static let variable = "SLUICE_LIBCURL"
    private static let names = ["libcurl.so.4", "libcurl-gnutls.so.4"]

    /// Loads the library, once for the process. Takes some 20 ms the first time.
    ///
    /// - Throws: `HTTPError` of code `.library` that says what to install.
    public static func load() throws(HTTPError) {
        let named = getenv(variable).map { String(cString: $0) }
        var reasons: [String] = []
        for name in named.map({ [$0] }) ?? names {
            guard let reason = sluice_curl_load(name) else { return }
            reasons.append(String(cString: reason))
        }
        let advice =
            named == nil
            ? "install libcurl 4 (Debian: apt-get install libcurl4), or name the file in the environment variable \(variable)"
            : "the environment variable \(variable) names it"
        throw HTTPError(.library, "libcurl can't be loaded (\(reasons.first ?? "no name")); \(advice)")
    }

    /// Name and version of the loaded library and of those that it uses.
    public static var version: String? {
        guard (try? load()) != nil, let words = sluice_curl_version() else { return nil }
        return String(cString: words)
    }
}

/// A connection to a server, kept open from request to request.
///
/// One thread uses it at a time. Calls block. A redirect is not followed; proxies are those of the environment, as curl
/// has it; certificates are checked against the system's, or those of the file that `CURL_CA_BUNDLE` or `SSL_CERT_FILE`
/// names, as the program curl does.
public final class HTTPConnection {
    private let handle: UnsafeMutableRawPointer
    private let words = UnsafeMutablePointer<CChar>.allocate(capacity: Int(errorBytes))
    private let certificates = (getenv("CURL_CA_BUNDLE") ?? getenv("SSL_CERT_FILE")).map { String(cString: $0) }
    private static let errorBytes = 256

    /// - Throws: `HTTPError` of code `.library`.
    public init() throws(HTTPError) {
        try HTTPLibrary.load()
        guard let handle = sluice_curl_make() else { throw HTTPError(.library, "libcurl has no memory") }
        self.handle = handle
    }

    deinit {
        sluice_curl_free(handle)
        words.deallocate()
    }

    /// Sends a request and waits until the answer is whole.
    ///
    /// - Parameters:
    ///   - body: gets the body of the answer; its room is reused.
    ///   - isStopped: asked about once a second; if it returns true, the request is given up.
    public func send(
        _ request: HTTPRequest, into body: inout [UInt8], isStopped: () -> Bool = { false }
    ) throws(HTTPError) -> HTTPResponse {
        try Self.check(request)
        let lines = try headers(request)
        defer { sluice_curl_free_headers(lines) }
        let transfer = Transfer(taking: &body, most: request.limits.answer)
        defer { body = transfer.take() }
        let code = withoutActuallyEscaping(isStopped) { isStopped in
            transfer.isStopped = isStopped
            defer { transfer.isStopped = nil }
            return request.body.withUnsafeBytes { perform(request, $0, lines, transfer) }
        }
        if code != 0 { throw error(code, transfer, request.limits) }
        let wait = sluice_curl_info_size(handle, Int32(SLUICE_CURL_INFO_RETRY_AFTER))
        return HTTPResponse(
            status: sluice_curl_info_long(handle, Int32(SLUICE_CURL_INFO_STATUS)),
            retryAfter: wait > 0 ? Double(wait) : nil,
            redirect: sluice_curl_info_text(handle, Int32(SLUICE_CURL_INFO_REDIRECT)).map { String(cString: $0) },
            headers: transfer.headers)
    }

    /// What is wrong with an address; nil if a request can be sent there.
    public static func fault(ofAddress url: String) -> String? {
        let rest = ["http://", "https://"].lazy.compactMap { scheme in
            url.lowercased().hasPrefix(scheme) ? url.dropFirst(scheme.count) : nil
        }.first
        guard let rest else { return "must begin with http:// or https://" }
        let host = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if host.contains("@") { return "must not hold a name or a password" }
        if host.isEmpty { return "has no name of a server" }
        if url.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) { return "has a blank in it" }
        return nil
    }

    // MARK: One request

    private static func check(_ request: HTTPRequest) throws(HTTPError) {
        if let fault = fault(ofAddress: request.url) { throw HTTPError(.address, "the address \(fault)") }
        for (name, value) in request.headers where (name + value).utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            throw HTTPError(.address, "the value of the header \(name) has an end of a line or a control character")
        }
    }

    private func headers(_ request: HTTPRequest) throws(HTTPError) -> UnsafeMutableRawPointer? {
        var lines: UnsafeMutableRawPointer?
        // curl waits for a leave to send long bodies, which some servers never give.
        for line in request.headers.map({ "\($0.name): \($0.value)" }) + ["Expect:"] {
            guard let longer = sluice_curl_add_header(lines, line) else {
                sluice_curl_free_headers(lines)
                throw HTTPError(.other, "libcurl has no memory")
            }
            lines = longer
        }
        return lines
    }

    private func perform(
        _ request: HTTPRequest, _ body: UnsafeRawBufferPointer, _ lines: UnsafeMutableRawPointer?, _ transfer: Transfer
    ) -> Int32 {
        sluice_curl_reset(handle)
        words.pointee = 0
        let milliseconds: (Double) -> Int = { Int(min(max(1, $0 * 1000), 1e9)) }
        var codes = [
            sluice_curl_set_text(handle, Int32(SLUICE_CURL_URL), request.url),
            // `..` may be a part of a name.
            sluice_curl_set_long(handle, Int32(SLUICE_CURL_PATH_AS_IS), 1),
            sluice_curl_set_text(handle, Int32(SLUICE_CURL_USER_AGENT), "sluice"),
            sluice_curl_set_pointer(handle, Int32(SLUICE_CURL_ERROR_BUFFER), words),
            sluice_curl_set_pointer(handle, Int32(SLUICE_CURL_HEADERS), lines),
            // Without signals: the program has threads, and its own use for them.
            sluice_curl_set_long(handle, Int32(SLUICE_CURL_NO_SIGNAL), 1),
            sluice_curl_set_long(handle, Int32(SLUICE_CURL_MAX_CONNECTS), 1),
            sluice_curl_set_long(handle, Int32(SLUICE_CURL_TCP_KEEP_ALIVE), 1),
            // Each connection has one request at a time, so HTTP/2 would only cost memory.
            sluice_curl_set_long(handle, Int32(SLUICE_CURL_HTTP_VERSION), Int(SLUICE_CURL_VERSION_1_1)),
            sluice_curl_set_long(
                handle, Int32(SLUICE_CURL_CONNECT_TIMEOUT_MS), milliseconds(request.limits.connect)),
            sluice_curl_set_long(handle, Int32(SLUICE_CURL_TIMEOUT_MS), milliseconds(request.limits.total)),
            sluice_curl_set_receive(
                handle, { bytes, size, count, context in Transfer.of(context).receive(bytes, size * count) },
                Unmanaged.passUnretained(transfer).toOpaque()),
            sluice_curl_set_progress(
                handle, { context, _, _, _, _ in Transfer.of(context).isStopped?() == true ? 1 : 0 },
                Unmanaged.passUnretained(transfer).toOpaque()),
        ]
        if request.wantsHeaders {
            codes.append(
                sluice_curl_set_head(
                    handle, { bytes, size, count, context in Transfer.of(context).note(bytes, size * count) },
                    Unmanaged.passUnretained(transfer).toOpaque()))
        }
        if let certificates {
            codes.append(sluice_curl_set_text(handle, Int32(SLUICE_CURL_CERTIFICATES), certificates))
        }
        switch request.method {
        case .get: codes.append(sluice_curl_set_long(handle, Int32(SLUICE_CURL_HTTP_GET), 1))
        case .head: codes.append(sluice_curl_set_long(handle, Int32(SLUICE_CURL_NO_BODY), 1))
        case .post:
            codes.append(sluice_curl_set_size(handle, Int32(SLUICE_CURL_POST_FIELD_SIZE), Int64(body.count)))
            // With a null pointer curl would ask for the body.
            let bytes = body.baseAddress ?? UnsafeRawPointer(words)
            codes.append(sluice_curl_set_pointer(handle, Int32(SLUICE_CURL_POST_FIELDS), bytes))
        }
        return codes.first { $0 != 0 } ?? withExtendedLifetime(transfer) { sluice_curl_perform(handle) }
    }

    private func error(_ code: Int32, _ transfer: Transfer, _ limits: HTTPLimits) -> HTTPError {
        let found = words.pointee == 0 ? sluice_curl_words(code).map { String(cString: $0) } : String(cString: words)
        let words = found ?? "error \(code) of libcurl"
        switch code {
        // An answer that was cut off, an empty one, a reset, a broken stream: numbers of curl/curl.h.
        case 5, 6, 7, 8, 16, 18, 52, 55, 56, 92: return HTTPError(.connection, words)
        case 23 where transfer.isTooLong: return HTTPError(.size, "the answer has more than \(limits.answer) bytes")
        case 28: return HTTPError(.time, words)
        case 35, 58, 60, 77: return HTTPError(.encryption, words)
        case 42: return HTTPError(.stopped, "stopped")
        case 1, 3: return HTTPError(.address, words)
        default: return HTTPError(.other, words)
        }
    }
}

/// What libcurl's functions need during a request.
private final class Transfer {
    private var body: [UInt8]
    private let most: Int
    private(set) var isTooLong = false
    private(set) var headers: [String: String] = [:]
    var isStopped: (() -> Bool)?

    /// Takes over the array and empties it.
    init(taking body: inout [UInt8], most: Int) {
        self.body = []
        self.most = most
        swap(&self.body, &body)
        self.body.removeAll(keepingCapacity: true)
    }

    static func of(_ context: UnsafeMutableRawPointer?) -> Transfer {
        // The pointer is the one that `perform` gave.
        Unmanaged<Transfer>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue()
    }

    /// The number of bytes taken; fewer than given end the request.
    func receive(_ bytes: UnsafePointer<CChar>?, _ count: Int) -> Int {
        guard count <= most - body.count else {
            isTooLong = true
            return 0
        }
        body.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
        return count
    }

    /// Takes a line of the head.
    func note(_ bytes: UnsafePointer<CChar>?, _ count: Int) -> Int {
        let line = String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
        guard let colon = line.firstIndex(of: ":") else {
            // The first line of an answer; only the last answer counts.
            if line.hasPrefix("HTTP/") { headers = [:] }
            return count
        }
        let value = line[line.index(after: colon)...].drop { $0.isWhitespace }
        let end = value.lastIndex { !$0.isWhitespace }.map { value.index(after: $0) } ?? value.startIndex
        headers[line[..<colon].lowercased()] = String(value[..<end])
        return count
    }

    func take() -> [UInt8] {
        var taken: [UInt8] = []
        swap(&taken, &body)
        return taken
    }
}
