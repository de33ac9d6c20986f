/// A request to a server.
public struct HTTPRequest: Sendable {
    public enum Method: Sendable { case get, head, post }

    public var method: Method
    /// An address that begins with `http://` or `https://`.
    public var url: String
    /// Values must not hold ends of lines.
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]
    public var limits: HTTPLimits
    /// Whether the response has the answer's headers.
    public var wantsHeaders = false

    public init(
        _ method: Method, _ url: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        limits: HTTPLimits = HTTPLimits()
    ) {
        (self.method, self.url, self.headers, self.body, self.limits) = (method, url, headers, body, limits)
    }
}

/// How long a request may take, and how long its answer may be.
public struct HTTPLimits: Sendable, Hashable {
    /// Seconds until there is a connection.
    public var connect: Double
    /// Seconds until the answer is whole.
    public var total: Double
    /// Bytes of an answer's body.
    public var answer: Int

    public init(connect: Double = 10, total: Double = 300, answer: Int = 1 << 20) {
        (self.connect, self.total, self.answer) = (connect, total, answer)
    }
}

/// What a server answered, beside the body.
public struct HTTPResponse: Sendable, Hashable {
    /// Such as 200.
    public let status: Int
    /// Seconds that the server asks to wait before the next request (`Retry-After`, as a number or a date).
    public let retryAfter: Double?
    /// Where the server says to go. Never followed, since the request may have a key.
    public let redirect: String?
    /// The headers, if the request wanted them; names in lower case, the last of equal ones.
    public let headers: [String: String]

    public init(
        status: Int, retryAfter: Double? = nil, redirect: String? = nil, headers: [String: String] = [:]
    ) {
        (self.status, self.retryAfter, self.redirect, self.headers) = (status, retryAfter, redirect, headers)
    }

    public var isSuccess: Bool { 200...299 ~= status }
    /// Whether the same request may succeed a little later: 408, 429, 500, 502, 503, 504.
    public var isTransient: Bool { [408, 429, 500, 502, 503, 504].contains(status) }
}
