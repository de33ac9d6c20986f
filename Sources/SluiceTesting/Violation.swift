/// A breach of the stage contract.
public struct Violation: Sendable, Hashable, CustomStringConvertible {
    /// Which promise is broken; new ones may come.
    public struct Rule: Sendable, Hashable, CustomStringConvertible {
        public let description: String

        init(_ name: String) { description = name }

        /// The descriptor holds together: names, defaults and examples that its own options take.
        public static let descriptor = Rule("descriptor")
        /// The stage works on the records it was given.
        public static let works = Rule("works")
        /// The same input gives the same result, every time.
        public static let repeats = Rule("repeats")
        /// Threads and their order leave no trace in the result.
        public static let threads = Rule("threads")
        /// Block limits leave no trace in the result.
        public static let blocks = Rule("blocks")
        /// Summaries merge in any tree and order to the same result.
        public static let merges = Rule("merges")
        /// The stage reads what it declares and nothing else, and of live records only.
        public static let reads = Rule("reads")
        /// The stage writes what it declares, in the declared type, and nothing else.
        public static let writes = Rule("writes")
        /// Drops have reasons, and numbers that can be written down.
        public static let drops = Rule("drops")
        /// Ranks, quotas and partners of a selection fit together.
        public static let selection = Rule("selection")
        /// Nothing to work on is legal.
        public static let empty = Rule("empty")
        /// The order of records counts; the numbers of files and lines don't.
        public static let ordinals = Rule("ordinals")
        /// Memory decides how a result is reached, not which.
        public static let memory = Rule("memory")
    }

    public let rule: Rule
    /// What was found, as a sentence.
    public let message: String

    public init(_ rule: Rule, _ message: String) {
        self.rule = rule
        self.message = message
    }

    public var description: String { "\(rule): \(message)" }
}
