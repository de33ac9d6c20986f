import Glibc
import SluiceCore

/// A failure of a file or stream: the file, the position, what was found, and advice.
public struct IOFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of failure. New kinds may be added, so switch with a `default`.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        public let rawValue: String

        public init(_ rawValue: String) { self.rawValue = rawValue }

        public var description: String { rawValue }

        public static let cannotOpen = Code("cannotOpen")
        public static let cannotRead = Code("cannotRead")
        public static let cannotWrite = Code("cannotWrite")
        public static let diskFull = Code("diskFull")
        /// Another process holds the lock.
        public static let locked = Code("locked")
        /// The stream ends inside a frame or member.
        public static let truncatedStream = Code("truncatedStream")
        /// An input is no longer the one that was found before.
        public static let changed = Code("changed")
        /// The caller asked to stop while a read waited for bytes.
        public static let stopped = Code("stopped")
        public static let corruptStream = Code("corruptStream")
        /// A zstd frame needs more memory than allowed.
        public static let windowTooLarge = Code("windowTooLarge")
        /// The name implies a compression that the content doesn't have.
        public static let notCompressed = Code("notCompressed")
        /// A top-level JSON array whose remaining elements can't be separated.
        public static let malformedArray = Code("malformedArray")
        /// One of our files has a wrong header, footer or checksum.
        public static let corruptWorkFile = Code("corruptWorkFile")
        /// An answer log with a wrong header or checksum: never used, and never removed, since answers are paid for.
        public static let damagedAnswers = Code("damagedAnswers")
        /// An answer log has more answers than its index has room for.
        public static let tooManyAnswers = Code("tooManyAnswers")
        /// A column file with another type or shape than expected.
        public static let wrongColumn = Code("wrongColumn")
    }

    public var code: Code
    public var path: String
    /// The position in the file on disk (compressed, if it is), counted from 0.
    public var offset: UInt64?
    /// Of a damaged stream: the unpacked bytes in complete frames or members before the damaged one. Bytes returned
    /// from the damaged one before the fault showed may be wrong, too.
    public var soundBytes: UInt64?
    /// The system's error number, if there is one.
    public var errno: Int32?
    /// What was found, a clause without a full stop.
    public var found: String
    /// Advice, a sentence; empty if there is none.
    public var advice: String
    /// With `.windowTooLarge` the window that the frame requires, in bytes.
    public var window: UInt64?

    public init(
        _ code: Code, path: String, offset: UInt64? = nil, errno: Int32? = nil, found: String, advice: String = "",
        window: UInt64? = nil
    ) {
        self.window = window
        self.code = code
        self.path = path
        self.offset = offset
        self.errno = errno
        self.found = found
        self.advice = advice
    }

    /// A failed system call.
    init(system number: Int32, doing operation: FileSystem.Operation, path: String, offset: UInt64? = nil) {
        let code: Code
        let advice: String
        switch (operation, number) {
        case (_, ENOSPC), (_, EDQUOT):
            code = .diskFull
            advice = "Free some space, or write to another disk."
        case (.open, _), (.stat, _), (.readFolder, _):
            code = .cannotOpen
            advice =
                switch number {
                case ENOENT where InputSpec.isAddress(path):
                    "It is no file. Only `input.files` may name objects of a store; copy it to a file."
                case ENOENT: "Check the name."
                case EACCES, EPERM: "Check the permissions."
                case EMFILE, ENFILE: "Raise the limit of open files (ulimit -n)."
                case ESTALE: Self.isReplaced
                default: ""
                }
        case (.read, _):
            code = .cannotRead
            advice =
                switch number {
                case EISDIR: "Name the files in it, for instance with a pattern."
                case EBADF: "It is closed."
                case ESTALE: Self.isReplaced
                default: ""
                }
        case (.lock, _):
            code = .locked
            advice = ""
        default:
            code = .cannotWrite
            advice = number == EACCES || number == EPERM || number == EROFS ? "Check the permissions." : ""
        }
        self.init(
            code, path: path, offset: offset, errno: number,
            found: "\(operation.verb) failed: \(systemMessage(number))", advice: advice)
    }

    private static let isReplaced = "Another machine replaced or removed the file; try again."

    /// Whether reading may succeed the next time: after a refused system call, with a server that answers, with more memory,
    /// after a stop. A resumed run then reads on, so nothing may depend on where the failure was.
    var mayPass: Bool { errno != nil || code == .stopped || code == .windowTooLarge }

    public var description: String {
        var text = path.isEmpty ? "" : "\(Printable.name(path, most: Printable.longestLine)): "
        if let offset { text += "byte \(offset): " }
        text += found + "."
        if !advice.isEmpty { text += " " + advice }
        return text
    }
}

/// The system's description of an error number, without a full stop.
func systemMessage(_ number: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        guard strerror_r_portable(number, buffer) else { return "error \(number)" }
        return String(cString: buffer.baseAddress!)
    }
}

private func strerror_r_portable(_ number: Int32, _ buffer: UnsafeMutableBufferPointer<CChar>) -> Bool {
    // Swift uses Glibc's XSI form, which returns 0 on success.
    strerror_r(number, buffer.baseAddress!, buffer.count) == 0
}
