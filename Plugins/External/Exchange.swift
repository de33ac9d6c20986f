import Glibc
import SluiceCore

/// Why an exchange with a program ended early.
enum ProgramFailure: Error {
    /// The run stops.
    case stopped
    /// The program has ended, or closed its output: it may be started again. What happened, such as `ended with exit status 1`.
    case ended(String)
    /// The program does not keep to the protocol, or hangs: what it did.
    case broken(String)
    /// It can't be started.
    case refused(StageError)
}

/// How long an exchange may wait, and how much it may hold.
struct ExchangeLimits: Sendable {
    /// Seconds until a program is up.
    var start: Double
    /// Seconds from answer to answer.
    var answer: Double
    /// Bytes of an answer, for a record without text.
    var line: Int
    /// How many times the bytes of its record an answer may have in addition.
    var lineGrowth: Int
}

/// One batch of records on their way to a program, and its answers on their way back.
///
/// Both directions move whenever they can, so neither side ever waits for the other to make room.
struct Exchange {
    /// Bytes that wait to be written, at most; more are made when there is room.
    private static let most = 128 << 10
    private static let chunk = 32 << 10
    /// Bytes of answers that are too few to wake up for, and microseconds to wait for more.
    private static let few = 1 << 10
    private static let nap: UInt32 = 300

    let program: RunningProgram
    let buffer: ByteBuffer
    private let limits: ExchangeLimits
    private let context: StageContext
    private var isInputClosed = false
    /// Bytes of `unread` that have no line end.
    private var scanned = 0
    /// When the program last took or gave something, in seconds.
    private var moved = monotonicSeconds()
    /// Bytes of the longest record so far.
    private var longest = 0
    private var current = 0
    /// How much has to wait until it is worth a try.
    private var nextMove = Self.chunk
    /// Takes the answers; nil while there are none.
    var answers: AnswerReader?

    init(_ program: RunningProgram, _ buffer: ByteBuffer, _ limits: ExchangeLimits, _ context: StageContext) {
        self.program = program
        self.buffer = buffer
        self.limits = limits
        self.context = context
        buffer.removeAll()
    }

    // MARK: Writing

    enum Spelling {
        /// A string, to be quoted.
        case text
        /// JSON, to be put on one line.
        case json
    }

    /// Begins the line of a record.
    mutating func begin() { current = 0 }

    /// Appends a value of any length.
    mutating func put(_ bytes: ArraySlice<UInt8>, as spelling: Spelling) throws(ProgramFailure) {
        current += bytes.count
        longest = max(longest, current)
        if spelling == .text { buffer.append(UInt8(ascii: "\"")) }
        var start = bytes.startIndex
        while start < bytes.endIndex {
            let end = min(start + Self.chunk, bytes.endIndex)
            bytes[start..<end].withUnsafeBytes { chunk in
                if spelling == .text { buffer.append(escaped: chunk) } else { buffer.append(line: chunk) }
            }
            start = end
            while buffer.count >= Self.most { try step(waits: true) }
        }
        if spelling == .text { buffer.append(UInt8(ascii: "\"")) }
    }

    /// Writes and reads what can be without waiting, once there is enough of it; waits if there is too much.
    mutating func move() throws(ProgramFailure) {
        while buffer.count >= Self.most { try step(waits: true) }
        guard buffer.count >= nextMove else { return }
        try step(waits: false)
        nextMove = buffer.count + Self.chunk
    }

    /// Ends the line of a record.
    func end() { answers?.sent(bytes: current) }

    /// Writes the rest, and waits until all answers are there.
    mutating func finish() throws(ProgramFailure) {
        while answers?.isComplete == false || buffer.count > 0 { try step(waits: true) }
    }

    /// Writes a line and waits for one.
    mutating func ask(_ line: [UInt8]) throws(ProgramFailure) -> [UInt8] {
        buffer.append(line)
        while true {
            if let end = lineEnd() {
                let answer = Array(program.unread.bytes[..<end])
                program.unread.take(end + 1)
                return answer
            }
            try step(waits: true)
        }
    }

    // MARK: Moving

    /// Moves what can be moved.
    ///
    /// - Parameter waits: whether to wait a moment if nothing can.
    private mutating func step(waits: Bool) throws(ProgramFailure) {
        var hasMoved = false
        if buffer.count > 0, !isInputClosed {
            switch program.write(buffer.bytes) {
            case .bytes(let count):
                buffer.take(count)
                hasMoved = true
                moved = monotonicSeconds()
            case .none: break
            case .closed: isInputClosed = true
            }
        }
        // It may end in order without reading all: what it answered decides.
        if isInputClosed { buffer.removeAll() }
        if try read() { hasMoved = true }
        if !hasMoved, waits { try wait() }
    }

    /// Takes what the program has written.
    ///
    /// - Returns: whether there was something.
    private mutating func read() throws(ProgramFailure) -> Bool {
        switch program.read(into: program.unread.room(Self.chunk)) {
        case .bytes(let count):
            program.unread.filled(count)
            try takeLines()
            // A program that writes line by line would wake this thread for each, and with two cores that costs both. The
            // last answers of a batch are not kept waiting.
            if count < Self.few, let answers, answers.count - answers.answered > Self.few / 16 { usleep(Self.nap) }
            return true
        case .none: return false
        case .closed: throw .ended(program.endingSoon() ?? "closed its standard output")
        }
    }

    private mutating func wait() throws(ProgramFailure) {
        if context.isStopped { throw .stopped }
        program.wait(writes: buffer.count > 0 && !isInputClosed, milliseconds: 100)
        program.readErrors()
        let waited = monotonicSeconds() - moved
        guard waited > 0.1 else { return }
        // Something that it has started may hold the pipe.
        if let ending = program.ending, try !read() { throw .ended(ending) }
        guard waited > (answers == nil ? limits.start : limits.answer) else { return }
        throw .broken(answers.map { hanging($0) } ?? ProgramWords.noStart(limits.start))
    }

    private func hanging(_ answers: AnswerReader) -> String {
        ProgramWords.hanging(
            seconds: limits.answer, answered: answers.answered, of: answers.count, hasAllInput: buffer.count == 0)
    }

    /// The offset of the first line end in `unread`.
    private mutating func lineEnd() -> Int? {
        let bytes = program.unread.bytes
        guard let base = bytes.baseAddress, scanned < bytes.count,
            let found = memchr(base + scanned, 0x0A, bytes.count - scanned)
        else {
            scanned = bytes.count
            return nil
        }
        scanned = 0
        return UnsafeRawPointer(found) - base
    }

    private mutating func takeLines() throws(ProgramFailure) {
        guard let answers else { return try checkLength() }
        while !answers.isComplete, let end = lineEnd() {
            do throws(AnswerFault) {
                try answers.take(UnsafeRawBufferPointer(rebasing: program.unread.bytes[..<end]))
            } catch {
                throw .broken(error.message)
            }
            program.unread.take(end + 1)
            moved = monotonicSeconds()
        }
        try checkLength()
    }

    private func checkLength() throws(ProgramFailure) {
        let most = limits.line + limits.lineGrowth * longest
        guard program.unread.count > most, answers?.isComplete != true else { return }
        throw .broken(
            "wrote a line of more than \(MemorySize.describe(most)); an answer for such a record has at most that")
    }
}

extension ByteBuffer {
    /// Appends characters of a string, escaped as JSON requires.
    func append(escaped source: UnsafeRawBufferPointer) {
        // At most six bytes for one.
        let room = room(6 * source.count)
        guard let from = source.baseAddress, var to = room.baseAddress else { return }
        var start = 0
        var place = 0
        let count = source.count
        while place < count {
            let byte = from.load(fromByteOffset: place, as: UInt8.self)
            guard byte < 0x20 || byte == 0x22 || byte == 0x5C else {
                place += 1
                continue
            }
            to.copyMemory(from: from + start, byteCount: place - start)
            to += place - start
            to += Self.escape(byte, to)
            place += 1
            start = place
        }
        to.copyMemory(from: from + start, byteCount: count - start)
        to += count - start
        if let base = room.baseAddress { filled(to - base) }
    }

    private static func escape(_ byte: UInt8, _ to: UnsafeMutableRawPointer) -> Int {
        func put(_ bytes: UInt8...) -> Int {
            for (place, byte) in bytes.enumerated() { to.storeBytes(of: byte, toByteOffset: place, as: UInt8.self) }
            return bytes.count
        }
        let slash = UInt8(ascii: "\\")
        switch byte {
        case 0x0A: return put(slash, UInt8(ascii: "n"))
        case 0x09: return put(slash, UInt8(ascii: "t"))
        case 0x0D: return put(slash, UInt8(ascii: "r"))
        case 0x22, 0x5C: return put(slash, byte)
        default:
            let digits = Array("0123456789abcdef".utf8)
            let zero = UInt8(ascii: "0")
            return put(slash, UInt8(ascii: "u"), zero, zero, digits[Int(byte >> 4)], digits[Int(byte & 15)])
        }
    }

    /// Appends JSON without its line ends, which can only be white space there.
    func append(line source: UnsafeRawBufferPointer) {
        let target = room(source.count)
        target.copyMemory(from: source)
        for place in 0..<source.count where target[place] == 0x0A || target[place] == 0x0D { target[place] = 0x20 }
        filled(source.count)
    }
}
