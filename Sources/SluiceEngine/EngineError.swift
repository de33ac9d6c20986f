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

    public let code: Code
    /// The stage at fault, where one is.
    public private(set) var culprit: Culprit?
    /// What was found and what to do, as a sentence.
    public let message: String
    /// Whether the work so far is of use once the cause is gone, so that it is left for a resume.
    let leavesWork: Bool

    public init(_ code: Code, _ message: String) {
        self.init(code, message, leavesWork: code == .stopped || code == .resources)
    }

    init(_ code: Code, _ message: String, leavesWork: Bool) {
        self.code = code
        self.message = message
        self.leavesWork = leavesWork
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
        var result = EngineError(
            code, "\(catalog.files[ordinal.file].name):\(ordinal.line): \(message)", leavesWork: leavesWork)
        result.culprit = culprit
        return result
    }
}
