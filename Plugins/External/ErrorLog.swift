import Glibc
import SluiceCore

/// What a program writes to its standard error: the beginning in a file of the run directory, the end in memory for a message.
final class ErrorLog {
    /// Bytes that the file holds at most.
    static let longest = 1 << 20
    private static let tailBytes = 4 << 10
    /// Lines that a message quotes.
    private static let tailLines = 8

    private let stage: String
    private let journal: StageJournal?
    private var tail: [UInt8] = []
    private var written = 0
    private var leftOut = 0
    private var file: Int32 = -1
    /// The file, once there is one.
    private(set) var path: String?
    private var isBroken = false

    init(stage: String, journal: StageJournal?) {
        self.stage = String(stage.map { $0 == "#" ? "-" : $0 })
        self.journal = journal
    }

    deinit { close() }

    func append(_ bytes: UnsafeRawBufferPointer) {
        tail.append(contentsOf: bytes.suffix(Self.tailBytes))
        if tail.count > 2 * Self.tailBytes { tail.removeFirst(tail.count - Self.tailBytes) }
        let kept = min(bytes.count, Self.longest - written)
        leftOut += bytes.count - kept
        written += kept
        if kept > 0 { write(UnsafeRawBufferPointer(rebasing: bytes[..<kept])) }
    }

    /// Ends the file.
    func close() {
        guard file >= 0 else { return }
        if leftOut > 0 {
            let note = Array("\n[\(leftOut) more bytes were left out]\n".utf8)
            note.withUnsafeBytes { write($0) }
        }
        _ = Glibc.close(file)
        file = -1
    }

    /// A log is no result: what can't be written is left out.
    private func write(_ bytes: UnsafeRawBufferPointer) {
        if file < 0, !isBroken { open() }
        var rest = bytes[...]
        while file >= 0, !rest.isEmpty {
            let count = Glibc.write(file, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            guard count > 0 || count < 0 && errno == EINTR else { return }
            rest = rest.dropFirst(max(0, count))
        }
    }

    /// Several processes may work on one run, so the name is the first that is free.
    private func open() {
        isBroken = true
        guard let journal else { return }
        mkdir(journal.folder, 0o777)
        for number in 1...99_999 {
            let path = "\(journal.folder)/\(stage).\(number).txt"
            file = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if file >= 0 {
                self.path = path
                return
            }
            guard errno == EEXIST else { return }
        }
    }

    /// Its last lines and where all of it is, to be put after a message.
    ///
    /// - Parameter ifEmpty: what to say if there is nothing.
    func words(ifEmpty: String = "") -> String {
        let text = String(decoding: tail.suffix(Self.tailBytes), as: UTF8.self)
        let lines = text.split(whereSeparator: \.isNewline).suffix(Self.tailLines)
        guard !lines.isEmpty else { return ifEmpty }
        let place = path.map { ", all of which is in \($0)" } ?? ""
        return "; the end of its standard error\(place):\n"
            + lines.map { "  | \(Printable.name(String($0), most: 400))" }.joined(separator: "\n")
    }
}
