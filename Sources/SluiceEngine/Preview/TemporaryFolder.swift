import Glibc
import SluiceIO

/// A folder for what a command makes to look at, and removes.
struct TemporaryFolder {
    let path: String

    init() throws(IOFailure) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var name = Array("\(parent)/sluice-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else {
            throw IOFailure(
                .cannotWrite, path: parent, errno: errno,
                found: "no temporary folder could be made: \(String(cString: strerror(errno)))",
                advice: "Name another folder for temporary files in TMPDIR.")
        }
        path = name.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? parent }
    }

    func remove() { try? FileSystem.local.removeTree(path) }
}
