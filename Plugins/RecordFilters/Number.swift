/// A number of a record or a definition, compared exactly where both are integers of at most 64 bits, else as reals.
enum Number: Sendable, Hashable {
    case integer(Int)
    case real(Double)

    var real: Double {
        switch self {
        case .integer(let value): Double(value)
        case .real(let value): value
        }
    }

    /// Negative, 0 or positive, as this number is less than the other, equal to it or greater.
    func order(_ other: Number) -> Int {
        if case .integer(let a) = self, case .integer(let b) = other { return a < b ? -1 : a == b ? 0 : 1 }
        let (a, b) = (real, other.real)
        return a < b ? -1 : a == b ? 0 : 1
    }

    /// The number that some bytes spell as JSON does; nil for anything else, also for what is too large for a real.
    init?(spelled bytes: ArraySlice<UInt8>) {
        guard let first = bytes.first, first == UInt8(ascii: "-") || (48...57).contains(first), bytes.count <= 400
        else {
            return nil
        }
        let digits = first == UInt8(ascii: "-") ? bytes.dropFirst() : bytes
        if digits.count <= 18, !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }) {
            let value = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
            self = .integer(first == UInt8(ascii: "-") ? -value : value)
            return
        }
        guard bytes.allSatisfy({ (48...57).contains($0) || "+-.eE".utf8.contains($0) }),
            let last = bytes.last, (48...57).contains(last)
        else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        if let value = Int(text) {
            self = .integer(value)
        } else if let value = Double(text), value.isFinite {
            self = .real(value)
        } else {
            return nil
        }
    }
}
