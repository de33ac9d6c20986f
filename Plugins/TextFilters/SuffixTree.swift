/// Finds the longest of many n-grams that ends at a place of a text, by reading backwards from there.
///
/// A table has all pairs of bytes, which is where every search begins; a hash table has the longer ones. Most searches
/// end at a byte that does not lead on, and most of these end at a filter, without a look at the hash table.
struct SuffixTree {
    /// No n-gram.
    static let none: UInt32 = 0xFFFF

    /// For a last byte and the one before it, times 256: an `Entry`.
    private let pairs: UnsafePointer<UInt64>
    /// By node and byte: an `Entry`. A free slot is 0.
    private let slots: UnsafePointer<UInt64>

    private static let slotBits: UInt32 = 17
    private static let mask = (1 << Int(slotBits)) - 1

    @inline(__always)
    func longest(_ text: UnsafeBufferPointer<UInt8>, endingAt end: Int) -> UInt32 {
        var entry = Entry(bits: pairs[Int(text[end]) | Int(text[end - 1]) << 8])
        var place = end - 2
        while place >= 0, entry.mayLead(by: text[place]) {
            let key = Entry.key(node: entry.node, text[place])
            var slot = Self.slot(key)
            while slots[slot] != 0, Entry(bits: slots[slot]).key != key { slot = (slot + 1) & Self.mask }
            guard slots[slot] != 0 else { break }
            entry = Entry(bits: slots[slot])
            place -= 1
        }
        return entry.gram
    }

    private static func slot(_ key: UInt32) -> Int { Int((key &* 0x9E37_79B1) >> (32 - slotBits)) }

    /// A run of bytes that n-grams end with.
    private struct Entry {
        /// From the lowest: the node under which longer runs are found, or 0 (16 bits); the longest n-gram so far (16
        /// bits); a bit for each value that the last three bits of the next byte can have (8 bits); and the key (24 bits).
        var bits: UInt64

        init(bits: UInt64) { self.bits = bits }

        init(key: UInt32, gram: UInt32) { bits = UInt64(key) << 40 | UInt64(gram) << 16 }

        static func key(node: UInt32, _ byte: UInt8) -> UInt32 { node << 8 | UInt32(byte) }

        var key: UInt32 { UInt32(truncatingIfNeeded: bits >> 40) }
        var node: UInt32 { UInt32(truncatingIfNeeded: bits & 0xFFFF) }
        var gram: UInt32 { UInt32(truncatingIfNeeded: bits >> 16 & 0xFFFF) }

        @inline(__always)
        func mayLead(by byte: UInt8) -> Bool { bits >> (32 + UInt64(byte & 7)) & 1 != 0 }

        mutating func lead(to node: UInt32, by byte: UInt8) {
            bits = bits & ~0xFFFF | UInt64(node) | 1 << (32 + UInt64(byte & 7))
        }

        mutating func end(with gram: UInt32) { bits = bits & ~0xFFFF_0000 | UInt64(gram) << 16 }
    }

    /// Takes n-grams in the order of their bytes from the last to the first.
    struct Builder {
        private let pairs: UnsafeMutablePointer<UInt64>
        private let slots: UnsafeMutablePointer<UInt64>
        /// Where the entries of the last n-gram stand, from its second byte on: the first in `pairs`, the others in `slots`.
        private var path: [Int] = []
        private var bytes: [UInt8] = []
        private var nodes: UInt32 = 0

        init() {
            pairs = .allocate(capacity: 1 << 16)
            pairs.initialize(repeating: Entry(key: 0, gram: SuffixTree.none).bits, count: 1 << 16)
            slots = .allocate(capacity: SuffixTree.mask + 1)
            slots.initialize(repeating: 0, count: SuffixTree.mask + 1)
        }

        var tree: SuffixTree { SuffixTree(pairs: UnsafePointer(pairs), slots: UnsafePointer(slots)) }

        /// - Parameter shared: how many bytes it shares with the n-gram before; `rest` are the others.
        mutating func add(_ gram: Int, shared: Int, _ rest: UnsafeBufferPointer<UInt8>) {
            bytes.removeSubrange(shared...)
            path.removeSubrange(max(0, shared - 1)...)
            for byte in rest {
                bytes.append(byte)
                if bytes.count > 1 { descend(byte) }
            }
            last.end(with: UInt32(gram))
        }

        private mutating func descend(_ byte: UInt8) {
            guard !path.isEmpty else {
                path.append(Int(bytes[0]) | Int(byte) << 8)
                return
            }
            if last.node == 0 { nodes += 1 }
            last.lead(to: last.node == 0 ? nodes : last.node, by: byte)
            let entry = Entry(key: Entry.key(node: last.node, byte), gram: last.gram)
            var slot = SuffixTree.slot(entry.key)
            while slots[slot] != 0 { slot = (slot + 1) & SuffixTree.mask }
            slots[slot] = entry.bits
            path.append(slot)
        }

        /// The entry at the end of the path.
        private var last: Entry {
            get { Entry(bits: (path.count == 1 ? pairs : slots)[path[path.count - 1]]) }
            set { (path.count == 1 ? pairs : slots)[path[path.count - 1]] = newValue.bits }
        }
    }
}
