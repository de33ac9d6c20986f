import Glibc

/// Writes to the terminal or whatever stands in its place.
enum Terminal {
    enum Stream: Int32 {
        case output = 1
        case error = 2
    }

    /// The system's number of the first error of standard output; what follows it is not written.
    nonisolated(unsafe) private(set) static var outputFailure: Int32?

    static func write(_ text: String, to stream: Stream = .output) {
        if stream == .output, outputFailure != nil { return }
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
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
    }

    static func line(_ text: String = "") { write(text + "\n") }

    /// A message for a person, on standard error.
    static func note(_ text: String) { write(text + "\n", to: .error) }

    static func error(_ text: String) { write("sluice: \(text)\n", to: .error) }

    /// Writes a text with line ends between words, so that a line has no more than `width` columns where words allow it.
    static func paragraph(_ text: String, indent: Int = 0, width: Int? = nil) {
        let width = width ?? (isTerminal(.output) ? min(100, Self.columns(of: .output)) : 100)
        let margin = String(repeating: " ", count: indent)
        var line = margin
        for word in text.split(separator: " ") {
            if line.count > indent, line.count + 1 + word.count > width {
                Self.line(line)
                line = margin
            }
            line += (line.count > indent ? " " : "") + word
        }
        Self.line(line)
    }

    static func isTerminal(_ stream: Stream) -> Bool { isatty(stream.rawValue) == 1 }

    /// Columns of the terminal; 80 where nobody says.
    static func columns(of stream: Stream) -> Int {
        var size = winsize()
        guard ioctl(stream.rawValue, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}

/// Numbers for people.
enum Format {
    /// `1,234,567`.
    static func count(_ value: Int) -> String {
        var result = ""
        for (index, digit) in String(abs(value)).reversed().enumerated() {
            if index > 0, index % 3 == 0 { result.append(",") }
            result.append(digit)
        }
        return (value < 0 ? "-" : "") + String(result.reversed())
    }

    /// `3.4` with so many digits after the point.
    static func decimal(_ value: Double, digits: Int) -> String {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value * scale).rounded())
        guard digits > 0 else { return String(scaled) }
        let fraction = String(abs(scaled) % Int(scale))
        let padding = String(repeating: "0", count: digits - fraction.utf8.count)
        return "\(scaled < 0 ? "-" : "")\(abs(scaled) / Int(scale)).\(padding)\(fraction)"
    }

    /// `12.5 %` of a whole; an empty text where there is no whole.
    static func share(_ part: Int, of whole: Int) -> String {
        whole > 0 ? decimal(100 * Double(part) / Double(whole), digits: 1) + " %" : ""
    }

    /// `1:02:03`, `2:03` or `4.5 s`.
    static func duration(_ seconds: Double) -> String {
        if seconds < 10 { return decimal(seconds, digits: 1) + " s" }
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return whole < 3600
            ? "\(whole / 60):\(two(whole % 60))" : "\(whole / 3600):\(two(whole / 60 % 60)):\(two(whole % 60))"
    }
}
