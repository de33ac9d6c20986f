import Glibc
import SluiceCore

/// Writes to standard output and standard error. Text from data or from a user is escaped here and nowhere else.
enum Terminal {
    enum Stream: Int32 {
        case output = 1
        case error = 2
    }

    /// The `errno` of the first failed write to standard output; nothing is written after it.
    nonisolated(unsafe) private(set) static var outputFailure: Int32?

    /// Writes a text unchanged: the control characters of the bar, JSON.
    static func write(_ text: String, to stream: Stream = .output) {
        var text = text
        text.withUTF8 { write(UnsafeRawBufferPointer($0), to: stream) }
    }

    /// Writes bytes unchanged: the text above, kept records.
    static func write(_ bytes: UnsafeRawBufferPointer, to stream: Stream = .output) {
        if stream == .output, outputFailure != nil { return }
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            let count = Glibc.write(stream.rawValue, base, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                if stream == .output { outputFailure = errno }
                return
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Prints a result for a person, wrapped to the width of the terminal if there is one.
    static func line(_ text: String = "") { show(text, on: .output) }

    /// Prints a message for a person on standard error.
    static func note(_ text: String) { show(text, on: .error) }

    static func error(_ text: String) { show("sluice: \(text)", on: .error) }

    /// Prints a result for a program.
    static func json(_ text: String) { write(text + "\n") }

    private static func show(_ text: String, on stream: Stream) {
        let text = Printable.message(text)
        guard isTerminal(stream) else { return write(text + "\n", to: stream) }
        let width = columns(of: stream)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { line in
            let indent = line.prefix { $0 == " " }.count
            return wrapped(String(line.dropFirst(indent)), width: width, indent: indent, hanging: indent + 2)
        }
        write(lines.joined(separator: "\n") + "\n", to: stream)
    }

    /// Prints a text wrapped between words, to the width of the terminal but at most 100 columns.
    ///
    /// - Parameters:
    ///   - indent: spaces before the first line.
    ///   - hanging: spaces before the other lines; as `indent` if nil.
    static func paragraph(_ text: String, indent: Int = 0, hanging: Int? = nil) {
        let lines = wrapped(
            Printable.message(text), width: min(100, columns(of: .output)), indent: indent, hanging: hanging ?? indent)
        for line in lines { write(line + "\n") }
    }

    /// Prints a text that continues under its own beginning, after a head.
    static func hanging(_ head: String, _ text: String) {
        let text = Printable.message(text)
        guard isTerminal(.output) else { return write(head + text + "\n") }
        let column = self.width(of: head)
        var isFirst = true
        for part in text.split(separator: "\n", omittingEmptySubsequences: false) {
            for line in wrapped(String(part), width: columns(of: .output), indent: column, hanging: column) {
                write((isFirst ? head + line.dropFirst(column) : line) + "\n")
                isFirst = false
            }
        }
    }

    /// The width of help texts. The parser leaves the help of options out if it has less than half of this.
    static var helpColumns: Int { max(40, columns(of: .output)) }

    /// A text for `--help`, wrapped to the terminal's width. The argument parser alone would continue a long entry of a
    /// list at the left margin. An entry is indented and has two spaces or more before its description, under which it
    /// continues.
    static func help(_ text: String) -> String {
        // The parser would break a line that fills the width.
        let width = helpColumns - 1
        return text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { line -> [String] in
            let indent = line.prefix { $0 == " " }.count
            let entry = String(line.dropFirst(indent))
            guard indent > 0, let gap = entry.firstRange(of: "  ") else {
                return wrapped(entry, width: width, indent: indent)
            }
            let term = entry[..<gap.lowerBound]
            let description = entry[gap.lowerBound...].drop { $0 == " " }
            let column = indent + entry.distance(from: entry.startIndex, to: description.startIndex)
            // On a narrow terminal little room is left beside the entry.
            guard column + 20 <= width else { return wrapped(entry, width: width, indent: indent, hanging: indent + 4) }
            let lines = wrapped(String(description), width: width, indent: column, hanging: column)
            let head = String(repeating: " ", count: indent) + term
            return ["\(head)\(lines[0].dropFirst(head.count))"] + lines.dropFirst()
        }.joined(separator: "\n")
    }

    /// Wraps a text between words. A word wider than a line gets a line of its own.
    static func wrapped(_ text: String, width: Int, indent: Int = 0, hanging: Int = 0) -> [String] {
        guard indent + self.width(of: text) > width else { return [String(repeating: " ", count: indent) + text] }
        var lines: [String] = []
        var line = String(repeating: " ", count: indent)
        var used = indent
        var isEmpty = true
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            let size = self.width(of: word)
            if !isEmpty, used + 1 + size > width {
                lines.append(line)
                line = String(repeating: " ", count: hanging)
                used = hanging
                isEmpty = true
            }
            line += (isEmpty ? "" : " ") + word
            used += size + (isEmpty ? 0 : 1)
            isEmpty = false
        }
        return lines + [line]
    }

    /// The columns of a text: two for wide East Asian characters and emoji, none for combining marks.
    static func width(of text: some StringProtocol) -> Int {
        text.unicodeScalars.reduce(0) { sum, scalar in
            switch scalar.value {
            case 0x300...0x36F, 0x200B...0x200F, 0xFE00...0xFE0F: sum
            case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
                0x1F300...0x1FAFF, 0x20000...0x3FFFD:
                sum + 2
            default: sum + 1
            }
        }
    }

    static func isTerminal(_ stream: Stream) -> Bool { isatty(stream.rawValue) == 1 }

    /// The columns of the terminal; without one `COLUMNS`, else 80.
    static func columns(of stream: Stream) -> Int {
        var size = winsize()
        if ioctl(stream.rawValue, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return max(20, Int(size.ws_col)) }
        let said = getenv("COLUMNS").flatMap { Int(String(cString: $0)) } ?? 80
        return (20...1000).contains(said) ? said : 80
    }
}
