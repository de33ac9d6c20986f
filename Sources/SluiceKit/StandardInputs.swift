import SluiceCore
public import SluiceIO
import SluiceS3

/// The inputs that `sluice` reads: files of the file system, `-` for standard input, and objects of an S3-compatible store,
/// `s3://bucket/key`.
public struct StandardInputs: InputStore {
    private let files: any InputStore
    private let objects: S3Inputs

    /// - Parameters:
    ///   - files: has all inputs but the objects.
    ///   - isStopped: asked while a server is waited for; if it returns true, reading ends with `IOFailure.Code.stopped`.
    public init(
        files: any InputStore = FileSystem.local, isStopped: @escaping @Sendable () -> Bool = { false }
    ) {
        self.files = files
        objects = S3Inputs(isStopped: isStopped)
    }

    public func inputs(matching pattern: String) throws(IOFailure) -> [String] {
        let found = try store(of: pattern).inputs(matching: pattern)
        guard found.isEmpty, InputSpec.isAddress(pattern), !pattern.hasPrefix(S3Inputs.scheme) else { return found }
        throw IOFailure(
            .cannotOpen, path: pattern, found: "inputs can't be read by \(pattern.prefix { $0 != ":" })",
            advice: "Name files, or objects of an S3-compatible store as s3://BUCKET/KEY.")
    }

    public func status(ofInput path: String) throws(IOFailure) -> InputStatus? {
        try store(of: path).status(ofInput: path)
    }

    public func open(input path: String) throws(IOFailure) -> any InputFile { try store(of: path).open(input: path) }

    public func openBytes(ofInputs pattern: String) -> Int { store(of: pattern).openBytes(ofInputs: pattern) }

    private func store(of path: String) -> any InputStore {
        path.hasPrefix(S3Inputs.scheme) ? objects : files
    }
}
