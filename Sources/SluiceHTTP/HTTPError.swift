/// Why a request has no answer.
public struct HTTPError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of error. New kinds may be added.
    public struct Code: Sendable, Hashable {
        private enum Value { case library, address, connection, encryption, time, size, stopped, other }
        private let value: Value

        /// libcurl is missing or can't be used.
        public static let library = Code(value: .library)
        /// The address is none that a request can be sent to.
        public static let address = Code(value: .address)
        /// There was no connection, or it ended before the answer was whole.
        public static let connection = Code(value: .connection)
        /// The server's certificate can't be trusted, or the two sides found no common encryption.
        public static let encryption = Code(value: .encryption)
        /// A time limit passed.
        public static let time = Code(value: .time)
        /// The answer is longer than its limit.
        public static let size = Code(value: .size)
        /// The caller asked to stop.
        public static let stopped = Code(value: .stopped)
        /// Anything else that libcurl reports.
        public static let other = Code(value: .other)
    }

    public let code: Code
    /// What was found, as a part of a sentence.
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    /// Whether the same request may succeed a little later.
    public var isTransient: Bool { code == .connection || code == .time }
}
