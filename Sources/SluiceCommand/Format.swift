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

    /// `3.4`, with `digits` digits after the point.
    static func decimal(_ value: Double, digits: Int) -> String {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value * scale).rounded())
        guard digits > 0 else { return String(scaled) }
        let fraction = String(abs(scaled) % Int(scale))
        let padding = String(repeating: "0", count: digits - fraction.utf8.count)
        return "\(scaled < 0 ? "-" : "")\(abs(scaled) / Int(scale)).\(padding)\(fraction)"
    }

    /// `12.5 %` of a whole; empty if `whole` is 0.
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
