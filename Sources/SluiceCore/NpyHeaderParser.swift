/// Parses the dictionary in a `.npy` header: the three keys that NumPy writes, in any order.
package struct NpyHeaderParser {
    private let text: [UInt8]
    private var at = 0

    package init(_ text: [UInt8]) { self.text = text }

    /// Nil if it is not such a dictionary.
    package mutating func parse() -> (descriptor: String, fortran: Bool, shape: [Int])? {
        var descriptor: String?
        var fortran: Bool?
        var shape: [Int]?
        guard take("{") else { return nil }
        while !take("}") {
            guard let key = string(), take(":") else { return nil }
            switch key {
            case "descr":
                guard let value = string() else { return nil }
                descriptor = value
            case "fortran_order":
                if take("True") { fortran = true } else if take("False") { fortran = false } else { return nil }
            case "shape":
                guard take("(") else { return nil }
                var sizes: [Int] = []
                while !take(")") {
                    guard let number = number() else { return nil }
                    sizes.append(number)
                    if !take(",") {
                        guard take(")") else { return nil }
                        break
                    }
                }
                shape = sizes
            default: return nil
            }
            if !take(",") {
                guard take("}") else { return nil }
                break
            }
        }
        guard let descriptor, let fortran, let shape else { return nil }
        return (descriptor, fortran, shape)
    }

    private mutating func skip() { while at < text.count, text[at] == 0x20 || text[at] == 0x0A { at += 1 } }

    private mutating func take(_ word: String) -> Bool {
        skip()
        let bytes = Array(word.utf8)
        guard text[at...].starts(with: bytes) else { return false }
        at += bytes.count
        return true
    }

    private mutating func string() -> String? {
        skip()
        guard at < text.count, text[at] == 0x27 || text[at] == 0x22 else { return nil }
        let quote = text[at]
        guard let end = text[(at + 1)...].firstIndex(of: quote) else { return nil }
        defer { at = end + 1 }
        return String(decoding: text[(at + 1)..<end], as: UTF8.self)
    }

    private mutating func number() -> Int? {
        skip()
        let start = at
        while at < text.count, (0x30...0x39).contains(text[at]) { at += 1 }
        guard at > start, at - start < 16 else { return nil }
        return Int(String(decoding: text[start..<at], as: UTF8.self))
    }
}
