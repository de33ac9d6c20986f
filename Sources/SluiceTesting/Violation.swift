/// A breach of the stage contract.
public struct Violation: Sendable, Hashable, CustomStringConvertible {
    /// The broken promise. New rules may be added.
    public struct Rule: Sendable, Hashable, CustomStringConvertible {
        public let description: String

        init(_ name: String) { description = name }

        /// The descriptor is consistent: names are valid, and options accept their own defaults and examples.
        public static let descriptor = Rule("descriptor")
        /// The stage works on the given records.
        public static let works = Rule("works")
        /// The same input gives the same result, every time.
        public static let repeats = Rule("repeats")
        /// The result follows from the answers: it does not matter who asked, in which order, or in which run.
        public static let answers = Rule("answers")
        /// Threads and their order do not affect the result.
        public static let threads = Rule("threads")
        /// Block boundaries do not affect the result.
        public static let blocks = Rule("blocks")
        /// A missing number is missing, and not 0.
        public static let missing = Rule("missing")
        /// Summaries merge in any tree and order to the same result.
        public static let merges = Rule("merges")
        /// A survey leads to the surveys and selections that it declares.
        public static let leadsTo = Rule("leadsTo")
        /// Summaries and outcomes that were written as bytes and read again give the same result.
        public static let bytes = Rule("bytes")
        /// The stage reads only what it declares, and only of live records.
        public static let reads = Rule("reads")
        /// The stage writes all that it declares, in the declared type, and nothing else.
        public static let writes = Rule("writes")
        /// Drops have reasons, and measures that JSON can represent.
        public static let drops = Rule("drops")
        /// Ranks, quotas and partners of a selection are consistent.
        public static let selection = Rule("selection")
        /// The keys of a report are unique, and none is one that `run.json` has for every stage.
        public static let report = Rule("report")
        /// The stage works without any records.
        public static let empty = Rule("empty")
        /// Only the order of records matters, not file and line numbers.
        public static let ordinals = Rule("ordinals")
        /// Memory affects how a result is reached, not the result.
        public static let memory = Rule("memory")
    }

    public let rule: Rule
    /// What was found, and what to do.
    public let message: String

    public init(_ rule: Rule, _ message: String) {
        self.rule = rule
        self.message = message
    }

    public var description: String { "\(rule): \(message)" }
}
