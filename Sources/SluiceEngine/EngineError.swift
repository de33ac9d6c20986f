public import SluiceCore

/// Why a run ended without a result.
public struct EngineError: Error, Sendable, CustomStringConvertible {
    /// What kind of error it is, and so the exit status of the command; new kinds may come.
    public struct Code: Sendable, Hashable {
        public let exitStatus: Int32

        /// The command line or the definition is wrong; nothing was read.
        public static let definition = Code(exitStatus: 2)
        /// The data is wrong: policy `fail`, a truncated or corrupt stream.
        public static let data = Code(exitStatus: 3)
        /// Memory or disk does not suffice.
        public static let resources = Code(exitStatus: 4)
        /// A signal asked for the end.
        public static let stopped = Code(exitStatus: 130)
        /// A defect of Sluice or a stage.
        public static let fault = Code(exitStatus: 1)
    }

    /// Which stage failed, and over what.
    public struct Culprit: Sendable, Hashable {
        public let stage: String
        /// The option that is wrong, where one is.
        public let option: String?
        /// The record that is wrong, where one is.
        public let ordinal: Ordinal?
    }

    /// What gets a person past an error. A program spells it in its own terms, such as a flag or a button.
    public struct Remedy: Sendable, Hashable {
        private let name: String

        /// Go on with the unfinished run in the output directory: `RunOptions.resume`.
        public static let resume = Remedy(name: "resume")
        /// Begin anew and replace what is in the output directory: `RunOptions.force`.
        public static let restart = Remedy(name: "restart")
        /// Write to another output directory.
        public static let otherDirectory = Remedy(name: "otherDirectory")
    }

    public let code: Code
    /// The stage at fault, where one is.
    public private(set) var culprit: Culprit?
    /// What was found and, where no remedy says it, what to do, as a sentence.
    public private(set) var message: String
    /// What gets past it, the best first.
    public private(set) var remedies: [Remedy]
    /// What the run left for `RunOptions.resume`, where it left something.
    public private(set) var kept: KeptWork?
    /// Whether the work so far is of use once the cause is gone, so that it is left for a resume.
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

    /// The same error in other words.
    public func saying(_ message: String) -> EngineError {
        var error = self
        error.message = message
        return error
    }

    /// The same error of a run that left nothing behind.
    func leavingNothing() -> EngineError {
        var error = self
        error.remedies = []
        return error
    }

    /// The same error of a run that can go on with what it kept.
    func keeping(_ kept: KeptWork) -> EngineError {
        var error = self
        error.kept = kept
        if error.remedies.isEmpty { error.remedies = [.resume] }
        return error
    }

    public var description: String { message }

    static let stopped = EngineError(.stopped, "stopped by a signal")

    /// An error of a stage, with the stage's name.
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

    /// The same error, with the stage's error that it comes from.
    func about(_ error: StageError, stage: String) -> EngineError {
        var result = self
        result.culprit = Culprit(stage: stage, option: error.option, ordinal: error.ordinal)
        return result
    }

    /// The same error, with the file and line of the record that it is about before its message.
    func located(in catalog: InputCatalog) -> EngineError {
        guard let ordinal = culprit?.ordinal, catalog.files.indices.contains(ordinal.file) else { return self }
        return saying("\(catalog.files[ordinal.file].name):\(ordinal.line): \(message)")
    }
}

/// What an unfinished run left in its output directory.
public struct KeptWork: Sendable, Equatable {
    public let directory: String
    /// Records that need not be read again in the first pass, or nil where that pass is done.
    public let records: Int?

    public init(directory: String, records: Int?) {
        self.directory = directory
        self.records = records
    }
}
