/// A folder for the temporary files of one piece of work, removed with it.
final class ScratchFolder {
    let path: String
    private let fileSystem: FileSystem
    private var files = 0
    private var isMade = false

    /// - Parameter parent: a folder for temporary files of any process; created if missing.
    init(in parent: String, fileSystem: FileSystem) {
        path = AtomicFile.temporaryName(for: "\(parent)/shuffle")
        self.fileSystem = fileSystem
    }

    deinit { remove() }

    /// Removes the folder, if it can be removed: a failure here must not hide the result, or another failure. Call it at
    /// the end of the work, since the value may be destroyed as soon as nothing refers to it, and files to its path.
    func remove() {
        if isMade { try? fileSystem.removeTree(path) }
        isMade = false
    }

    /// Makes the folder.
    func make() throws(IOFailure) -> String {
        if !isMade {
            try fileSystem.makeFolder(path)
            isMade = true
        }
        return path
    }

    /// A name for a new file in it.
    func newFile() throws(IOFailure) -> String {
        files += 1
        return "\(try make())/merge-\(files)"
    }

    func holds(_ file: String) -> Bool { Path.folder(of: file) == path }
}
