import SluiceCore

/// Splits a text into words as GPT-3's rule compares them: lower case, without punctuation, separated by white space.
struct ComparedWords {
    /// The hashes of the words that were read last.
    private(set) var hashes: [UInt64] = []

    /// The words of a text that are looked at together.
    static let mostWords = 1 << 16

    /// Reads all words of a text.
    mutating func readAll(_ text: UnsafeBufferPointer<UInt8>) {
        hashes.removeAll(keepingCapacity: true)
        var place = 0
        read(text, &place, most: .max)
    }

    /// Keeps the last `kept` words and reads on from `place`, up to `mostWords` in all.
    ///
    /// - Returns: how many words were forgotten.
    mutating func readOn(_ text: UnsafeBufferPointer<UInt8>, _ place: inout Int, keeping kept: Int) -> Int {
        let forgotten = max(0, hashes.count - kept)
        hashes.removeFirst(forgotten)
        read(text, &place, most: Self.mostWords)
        return forgotten
    }

    mutating func forget() { hashes.removeAll(keepingCapacity: true) }

    private mutating func read(_ text: UnsafeBufferPointer<UInt8>, _ place: inout Int, most: Int) {
        let table = Scalars.Table()
        var hash: UInt64 = 0
        var length: UInt64 = 0
        while place < text.count, hashes.count < most {
            let scalar = Scalars.next(text, &place)
            let kind = table.of(scalar)
            if kind.contains(.space) {
                if length > 0 { hashes.append(Seed.mix(hash ^ length << 48)) }
                (hash, length) = (0, 0)
            } else if !kind.contains(.punctuation) {
                hash = (hash ^ UInt64(Scalars.lowerCase(scalar))) &* 0x2545_F491_4F6C_DD1D
                hash ^= hash >> 29
                length += 1
            }
        }
        if length > 0, hashes.count < most { hashes.append(Seed.mix(hash ^ length << 48)) }
    }
}
