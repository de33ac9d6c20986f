import Glibc

/// Inputs in the file system; `-` is standard input.
extension FileSystem: InputStore {
    public func inputs(matching pattern: String) throws(IOFailure) -> [String] {
        // A file whose name contains brackets or stars is taken literally.
        if pattern == "-" || access(pattern, F_OK) == 0 { return [pattern] }
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern, GLOB_BRACE | GLOB_NOSORT, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
    }

    public func status(ofInput path: String) throws(IOFailure) -> InputStatus? {
        if path == "-" { return InputStatus(size: 0, version: "", isStream: true) }
        guard let status = try status(of: path) else { return nil }
        guard status.isFolder || access(path, R_OK) == 0 else {
            throw IOFailure(.cannotOpen, path: path, found: "it can't be read", advice: "Check the permissions.")
        }
        return InputStatus(
            size: status.isRegularFile ? status.size : 0, version: String(status.modified),
            identity: "\(status.device):\(status.inode)", isStream: !status.isRegularFile && !status.isFolder,
            isFolder: status.isFolder)
    }

    public func open(input path: String) throws(IOFailure) -> any InputFile {
        LocalInput(file: try openForReading(path))
    }
}

/// An input file of the file system.
private final class LocalInput: InputFile {
    private let file: OpenFile

    init(file: consuming OpenFile) { self.file = file }

    var path: String { file.path }

    func size() throws(IOFailure) -> UInt64? {
        let status = try file.status()
        return status.isRegularFile ? status.size : nil
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int { try file.read(into: buffer) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(IOFailure) -> Int {
        try file.read(into: buffer, at: offset)
    }

    func hasBytes(within milliseconds: Int32) -> Bool { file.hasBytes(within: milliseconds) }
}
