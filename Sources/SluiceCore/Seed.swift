/// A 64-bit key for draws that must be the same on every machine.
///
/// Draws are keyed by content (`draw(_:)`) or come from a generator made from the seed (`generator(_:)`). Neither
/// depends on threads, positions in the input, or time. The mixing function is the finaliser of SplitMix64 (Steele, Lea
/// and Flood, «Fast Splittable Pseudorandom Number Generators», 2014).
public struct Seed: Sendable, Hashable {
    public let value: UInt64

    public init(_ value: UInt64) { self.value = value }

    /// A seed for a stage: stages with different names or indices get independent streams.
    public func derived(for name: String, index: Int = 0) -> Seed {
        var state = Self.mix(value &+ 0x9E37_79B9_7F4A_7C15)
        for byte in name.utf8 { state = Self.mix(state ^ UInt64(byte)) }
        return Seed(Self.mix(state ^ UInt64(truncatingIfNeeded: index)))
    }

    /// A uniform 64-bit draw for a record, keyed by its content hash: equal contents draw equal numbers.
    @inlinable
    public func draw(_ hash: ContentHash) -> UInt64 {
        Self.mix(Self.mix(value ^ hash.low) &+ hash.high)
    }

    /// A generator whose sequence depends on the seed and `stream` alone.
    public func generator(_ stream: UInt64 = 0) -> SplitMix64 {
        SplitMix64(state: Self.mix(value ^ Self.mix(stream)))
    }

    @inlinable
    public static func mix(_ x: UInt64) -> UInt64 {
        var z = x &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// SplitMix64: 64 bits of state, one mix per draw, the same sequence everywhere.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    public var state: UInt64

    public init(state: UInt64) { self.state = state }

    public mutating func next() -> UInt64 {
        defer { state &+= 0x9E37_79B9_7F4A_7C15 }
        return Seed.mix(state)
    }

    /// A uniform draw from `0..<bound` (Lemire's multiply-and-reject, so no value is favoured).
    public mutating func next(below bound: UInt64) -> UInt64 {
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
        }
        return product.high
    }
}

/// 128 bits of XXH3 over the bytes that identify a record: the deduplication fields, or the whole line.
public struct ContentHash: Sendable, Hashable, Comparable {
    public var high: UInt64
    public var low: UInt64

    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    @inlinable
    public static func < (a: ContentHash, b: ContentHash) -> Bool { (a.high, a.low) < (b.high, b.low) }
}
