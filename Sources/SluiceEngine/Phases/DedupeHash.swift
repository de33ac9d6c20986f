import SluiceCore

/// The hash that the dedupe goes by: that of the content, or so few bits of it that contents share them, for tests.
///
/// Stages draw by the content's own hash, whatever this is.
struct DedupeHash: Sendable {
    /// Nil for all 128.
    let bits: Int?

    @inline(__always)
    func callAsFunction(_ hash: ContentHash) -> ContentHash {
        guard let bits else { return hash }
        let few = hash.low & ((1 << UInt64(max(0, bits))) &- 1)
        // Spread over all bits again, so that tables and partitions are filled evenly.
        return ContentHash(high: Seed.mix(few), low: Seed.mix(~few))
    }

    func callAsFunction(_ hashes: [ContentHash]) -> [ContentHash] {
        bits == nil ? hashes : hashes.map { self($0) }
    }
}
