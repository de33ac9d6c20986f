import Synchronization

/// The memory of a run, in bytes, lent out as leases that return by themselves.
///
/// Take a lease before allocating a large buffer; outstanding leases never exceed `total`.
public final class MemoryBudget: Sendable {
    public let total: Int
    private let used = Mutex<(now: Int, peak: Int)>((0, 0))
    private let refuses: (@Sendable (_ bytes: Int, _ purpose: String) -> Bool)?

    /// - Parameter refuses: called before each lease; if it returns true, the lease fails as if memory had run out. For
    ///   tests.
    public init(total: Int, refuses: (@Sendable (_ bytes: Int, _ purpose: String) -> Bool)? = nil) {
        self.total = total
        self.refuses = refuses
    }

    public var available: Int { used.withLock { total - $0.now } }
    /// The largest sum of outstanding leases so far, in bytes.
    public var peak: Int { used.withLock { $0.peak } }

    /// Takes `bytes` for `purpose`.
    ///
    /// - Throws: `StageError` with code `.memory`, naming the purpose, the memory left, and the budget that this lease
    ///   would need.
    public func lease(_ bytes: Int, for purpose: String) throws(StageError) -> MemoryLease {
        let isRefused = refuses?(bytes, purpose) ?? false
        let left = used.withLock { used -> Int? in
            let left = isRefused ? 0 : total - used.now
            guard !isRefused, bytes <= left else { return left }
            used.now += bytes
            used.peak = max(used.peak, used.now)
            return nil
        }
        if let left {
            let (needed, there) = MemorySize.describe(bytes, beside: left)
            throw StageError(
                .memory,
                "\(purpose) needs \(needed), but \(there) of the budget of \(MemorySize.describe(total)) is left; the run needs at least \(MemorySize.spell(total + bytes - left))"
            )
        }
        return MemoryLease(budget: self, bytes: bytes)
    }

    fileprivate func giveBack(_ bytes: Int) { used.withLock { $0.now -= bytes } }
}

/// A part of a budget, returned when the lease ends.
public struct MemoryLease: ~Copyable, Sendable {
    public let bytes: Int
    private let budget: MemoryBudget

    fileprivate init(budget: MemoryBudget, bytes: Int) {
        self.budget = budget
        self.bytes = bytes
    }

    deinit { budget.giveBack(bytes) }
}

/// Parsing and printing of sizes in bytes.
public enum MemorySize {
    private static let units: [(name: String, factor: Int)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
        ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("PiB", 1 << 50),
        ("PB", 1_000_000_000_000_000),
    ]

    /// `512MiB`, `64KiB`, `2GB`, `1.5GiB` or a plain number of bytes; nil for anything else.
    public static func parse(_ text: String) -> Int? {
        let text = text.trimming()
        if let bytes = OptionKind.integer(text) { return bytes >= 0 ? bytes : nil }
        guard let unit = units.first(where: { text.hasSuffix($0.name) }) else {
            guard text.hasSuffix("B"), let bytes = OptionKind.integer(text.dropLast().trimming()), bytes >= 0 else {
                return nil
            }
            return bytes
        }
        let number = text.dropLast(unit.name.utf8.count).trimming()
        guard number.utf8.allSatisfy({ (48...57).contains($0) || $0 == 46 }), let value = Double(number) else {
            return nil
        }
        return Int(exactly: (value * Double(unit.factor)).rounded(.down))
    }

    /// `57MiB`, as in a definition: rounded up to the next MiB.
    public static func spell(_ bytes: Int) -> String { "\((max(0, bytes) + (1 << 20) - 1) >> 20)MiB" }

    /// `512 MiB`, rounded to one decimal.
    public static func describe(_ bytes: Int) -> String { describe(bytes, decimals: 1) }

    /// Two sizes to be compared, such as a need and what there is for it: with as many decimals as show that they
    /// differ, `76.58 MiB` and `76.63 MiB`, or in bytes if three are not enough.
    package static func describe(_ bytes: Int, beside other: Int) -> (String, String) {
        for decimals in 1...3 {
            let pair = (describe(bytes, decimals: decimals), describe(other, decimals: decimals))
            if pair.0 != pair.1 || bytes == other { return pair }
        }
        return ("\(bytes) bytes", "\(other) bytes")
    }

    private static func describe(_ bytes: Int, decimals: Int) -> String {
        guard let unit = units.prefix(4).last(where: { bytes >= $0.factor }) else { return "\(bytes) bytes" }
        let scale = (0..<decimals).reduce(1) { scale, _ in 10 * scale }
        let (whole, rest) = bytes.quotientAndRemainder(dividingBy: unit.factor)
        let scaled = whole * scale + (rest * scale + unit.factor / 2) / unit.factor
        guard scaled % scale != 0 else { return "\(scaled / scale) \(unit.name)" }
        // The scale with the fraction added has a leading 1 in place of the point, so no zero is lost.
        var fraction = String(scale + scaled % scale).dropFirst()
        while fraction.last == "0" { fraction.removeLast() }
        return "\(scaled / scale).\(fraction) \(unit.name)"
    }
}

extension StringProtocol {
    fileprivate func trimming() -> String {
        var view = Substring(self)
        while view.first == " " { view.removeFirst() }
        while view.last == " " { view.removeLast() }
        return String(view)
    }
}
