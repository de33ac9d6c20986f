import Glibc
import SluiceCore
import Synchronization

/// The file of the option `fitted`: a model that an earlier run has kept. It is read once, when it is first needed.
final class FittedFile: Sendable {
    let path: String
    let shape: LSAModel.Shape
    private let known = Mutex<LSATable?>(nil)

    /// Reads the header.
    ///
    /// - Parameter name: a file, or the directory of a run that has kept one model.
    /// - Throws: `StageError` with the option `fitted` if there is none, or it can't be used.
    init(_ name: String) throws(StageError) {
        path = try Self.file(name)
        let head = try Self.read(path, most: LSAModel.headerBytes)
        do throws(StageError) {
            var reader = ByteReader(head)
            shape = try LSAModel.shape(from: &reader)
        } catch {
            throw Self.wrong("\(path): \(error.message)")
        }
    }

    /// The model, checked completely.
    func table() throws(StageError) -> LSATable {
        try known.withLock { (known) throws(StageError) in
            if let known { return known }
            let bytes = try Self.read(path)
            do throws(StageError) {
                let table = LSATable(try LSAModel(decoding: bytes))
                guard table.model.shape == shape else { throw ByteReader.damaged("it was replaced meanwhile") }
                known = table
                return table
            } catch {
                throw Self.wrong("\(path): \(error.message)")
            }
        }
    }

    private static func wrong(_ message: String) -> StageError { .option("fitted", "`fitted`: \(message)") }

    /// The one model that a run's directory has.
    private static func file(_ name: String) throws(StageError) -> String {
        guard let folder = opendir(name) else { return name }
        closedir(folder)
        let models = "\(name)/models"
        let ending = ".\(LSAEmbedding.modelKind)"
        var found: [String] = []
        if let folder = opendir(models) {
            defer { closedir(folder) }
            while let entry = readdir(folder) {
                let file = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if file.hasSuffix(ending) { found.append(file) }
            }
        }
        found.sort()
        guard let first = found.first else {
            throw wrong("\(name) has no model of `embed` in its folder `models`; give a run with `embed: {model: lsa}`")
        }
        guard found.count == 1 else {
            throw wrong("\(models) has several models: \(found.joined(separator: ", ")); name the file of one")
        }
        return "\(models)/\(first)"
    }

    private static func read(_ path: String, most: Int = .max) throws(StageError) -> [UInt8] {
        guard let file = fopen(path, "rb") else {
            throw wrong("\(path) can't be opened: \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        guard fseek(file, 0, SEEK_END) == 0, case let size = ftell(file), size >= 0, fseek(file, 0, SEEK_SET) == 0
        else {
            throw wrong("\(path) is no file that can be read at any place")
        }
        let count = min(size, most)
        var isWhole = false
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = fread(buffer.baseAddress, 1, count, file)
            isWhole = filled == count
        }
        guard isWhole else { throw wrong("\(path) can't be read to its end") }
        return bytes
    }
}
