import SluiceCore
import SluiceIO

/// The models that surveys of a run have learned, in files of its directory: see `Survey.modelKind`.
enum KeptModels {
    /// The folder of these files.
    static let folder = "models"

    /// Writes what a survey learned below the folder of the result, complete and on disk.
    ///
    /// - Returns: its entry in the manifest: `stage`, `file`, `bytes` and `content`.
    /// - Throws: `EngineError` if the stage names no kind that can be part of a file name.
    static func write(
        _ learned: Learned, _ kind: String, of stage: String, to result: String, _ fileSystem: FileSystem
    ) throws -> JSONValue {
        let letters = kind.utf8.allSatisfy { byte in
            switch byte {
            case 48...57, 65...90, 97...122, 45: true
            default: false
            }
        }
        guard letters, !kind.isEmpty else {
            throw EngineError(
                defect: "its `modelKind`, `\(kind)`, is not made of letters, digits and `-`", stage: stage)
        }
        let name = "\(folder)/\(stage).\(kind)"
        try fileSystem.makeFolder("\(result)/\(folder)")
        try fileSystem.write(learned.bytes, to: "\(result)/\(name)")
        let hash = learned.bytes.withUnsafeBytes { XXHash.hash128($0) }
        return [
            "stage": .text(stage), "file": .text(name), "bytes": .integer(learned.bytes.count),
            "content": .text("xxh3-128:" + hexadecimal(hash)),
        ]
    }

    /// The body that follows from the model that a run has kept of a survey.
    ///
    /// - Throws: `StageError` if the model is missing or not the one that the run wrote.
    static func body(of survey: some Survey, from run: RunReader, _ context: StageContext) throws(StageError)
        -> StageBody
    {
        let entry = (run.manifest["models"]?.elements ?? []).first { $0["stage"]?.textValue == context.name }
        guard let entry, let name = entry["file"]?.textValue, owns(name) else {
            throw StageError(.invalidData, "\(run.path) has kept no model of it; repeat the run")
        }
        let bytes: [UInt8]
        do throws(IOFailure) { bytes = try run.fileSystem.contents(of: run.file(name)) } catch {
            throw StageError(.io, error.description)
        }
        guard bytes.withUnsafeBytes({ "xxh3-128:" + hexadecimal(XXHash.hash128($0)) }) == entry["content"]?.textValue
        else { throw StageError(.invalidData, "\(run.file(name)) is not the model that the run wrote") }
        return try body(survey, bytes, context)
    }

    private static func body<S: Survey>(
        _ survey: S, _ bytes: [UInt8], _ context: StageContext
    ) throws(StageError) -> StageBody {
        try survey.makeBody(S.Outcome(decoding: bytes), context)
    }

    /// Whether a name in a manifest is that of a file in the folder.
    static func owns(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2 && parts[0] == folder && !["", ".", ".."].contains(parts[1])
    }

    /// Moves the files of a result to the directory of their final names, and removes those of the result before it. Other
    /// files in the folder are left alone.
    static func publish(
        _ manifest: JSONValue, after earlier: JSONValue?, from result: String, to target: String,
        _ fileSystem: FileSystem
    ) throws(IOFailure) {
        let names = manifest.modelNames.filter(owns)
        if !names.isEmpty { try fileSystem.makeFolder("\(target)/\(folder)") }
        for name in names where try fileSystem.status(of: "\(result)/\(name)") != nil {
            try fileSystem.rename("\(result)/\(name)", to: "\(target)/\(name)")
        }
        for name in (earlier?.modelNames ?? []).filter(owns) where !names.contains(name) {
            try fileSystem.remove("\(target)/\(name)")
        }
        guard fileSystem.isRealFolder("\(target)/\(folder)") else { return }
        if names.isEmpty {
            // It stays if it holds anything else.
            try? fileSystem.removeFolder("\(target)/\(folder)")
        } else {
            try fileSystem.flushFolder("\(target)/\(folder)")
        }
    }
}

extension JSONValue {
    /// The files of models listed in a manifest.
    var modelNames: [String] { (self["models"]?.elements ?? []).compactMap { $0["file"]?.textValue } }
}
