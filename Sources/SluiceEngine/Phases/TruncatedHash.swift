import SluiceCore

/// The hash used by the dedupe: the content hash, or for tests a few bits of it, so that different contents share
/// hashes.
///
/// Stages always draw by the content hash itself.
struct TruncatedHash: Sendable {
    /// Nil for all 128.
    let bits: Int?

    @inline(__always)
    func callAsFunction(_ hash: ContentHash) -> ContentHash {
        guard let bits else { return hash }
        let few = hash.low & ((1 << UInt64(max(0, bits))) &- 1)
        // Spread over all bits again, so that tables and partitions fill evenly.
        return ContentHash(high: Seed.mix(few), low: Seed.mix(~few))
    }

    func callAsFunction(_ hashes: [ContentHash]) -> [ContentHash] {
        bits == nil ? hashes : hashes.map { self($0) }
    }
}
