public import SluiceCore

/// The reason why a run ended without a result.
public struct EngineError: Error, Sendable, CustomStringConvertible {
    /// The kind of error, which determines the exit status of the command. New kinds may be added.
    public struct Code: Sendable, Hashable {
        public let exitStatus: Int32

        /// The command line or the definition is wrong; nothing was read.
        public static let definition = Code(exitStatus: 2)
        /// The data is wrong: policy `fail`, a truncated or corrupt stream.
        public static let data = Code(exitStatus: 3)
        /// Too little memory or disk space.
        public static let resources = Code(exitStatus: 4)
        /// A signal requested the end.
        public static let stopped = Code(exitStatus: 130)
        /// A defect in Sluice or a stage.
        public static let fault = Code(exitStatus: 1)
    }

    /// The stage that failed, and the option or record concerned.
    public struct Culprit: Sendable, Hashable {
        public let stage: String
        /// The invalid option, if any.
        public let option: String?
        /// The record concerned, if any.
        public let ordinal: Ordinal?
    }

    /// A way past an error. A program expresses it in its own terms, such as a flag or a button.
    public struct Remedy: Sendable, Hashable {
        private let name: String

        /// Continue the unfinished run in the output directory: `RunOptions.resume`.
        public static let resume = Remedy(name: "resume")
        /// Start over and replace the content of the output directory: `RunOptions.force`.
        public static let restart = Remedy(name: "restart")
        /// Write to another output directory.
        public static let otherDirectory = Remedy(name: "otherDirectory")
    }

    public let code: Code
    /// The stage at fault, if any.
    public private(set) var culprit: Culprit?
    /// What was found, and advice unless a remedy gives it: a sentence.
    public private(set) var message: String
    /// Ways past the error, the best first.
    public private(set) var remedies: [Remedy]
    /// The work left for `RunOptions.resume`, if any.
    public private(set) var kept: KeptWork?
    /// Whether the work so far remains usable once the cause is gone, so that it is left for a resume.
    let leavesWork: Bool

    public init(_ code: Code, _ message: String, remedies: [Remedy] = []) {
        self.init(code, message, leavesWork: code == .stopped || code == .resources, remedies: remedies)
    }

    init(_ code: Code, _ message: String, leavesWork: Bool, remedies: [Remedy] = []) {
        self.code = code
        self.message = message
        self.leavesWork = leavesWork
        self.remedies = remedies
    }

    /// The same error with another message.
    public func saying(_ message: String) -> EngineError {
        var error = self
        error.message = message
        return error
    }

    /// The same error for a run that left nothing.
    func leavingNothing() -> EngineError {
        var error = self
        error.remedies = []
        return error
    }

    /// The same error for a run that can be resumed from `kept`.
    func keeping(_ kept: KeptWork) -> EngineError {
        var error = self
        error.kept = kept
        if error.remedies.isEmpty { error.remedies = [.resume] }
        return error
    }

    public var description: String { message }

    static let stopped = EngineError(.stopped, "stopped by a signal")

    /// An error of a stage, prefixed with the stage's name.
    init(_ error: StageError, stage: String) {
        let code: Code =
            switch error.code {
            case .invalidOption: .definition
            case .invalidData, .io: .data
            case .memory: .resources
            default: .fault
            }
        self.init(
            code, "stage `\(stage)`: \(error.message)",
            leavesWork: code == .stopped || code == .resources || error.code == .io)
        culprit = Culprit(stage: stage, option: error.option, ordinal: error.ordinal)
    }

    /// A stage that breaks a rule of its contract.
    init(defect: String, stage: String) {
        self.init(.fault, "stage `\(stage)`: \(defect); this is a defect of the stage")
    }

    /// The same error, with the stage and the option or record of the stage's error.
    func about(_ error: StageError, stage: String) -> EngineError {
        var result = self
        result.culprit = Culprit(stage: stage, option: error.option, ordinal: error.ordinal)
        return result
    }

    /// The same error, with the file and line of the record concerned before its message.
    func located(in catalog: InputCatalog) -> EngineError {
        guard let ordinal = culprit?.ordinal, catalog.files.indices.contains(ordinal.file) else { return self }
        return saying("\(catalog.files[ordinal.file].shown):\(ordinal.line): \(message)")
    }
}

/// The work of an unfinished run that is left in its output directory.
public struct KeptWork: Sendable, Equatable {
    public let directory: String
    /// Records that the first pass need not read again; nil if that pass is complete.
    public let records: Int?

    public init(directory: String, records: Int?) {
        self.directory = directory
        self.records = records
    }
}
