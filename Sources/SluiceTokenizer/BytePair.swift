/// Byte-pair encoding (Sennrich et al. 2016): single scalars, merged in the order in which the merges were learned.
///
/// A scalar without a token becomes its bytes where the vocabulary has them all (`<0x0A>`), or the unknown token.
struct BytePair: Sendable {
    let vocabulary: Vocabulary
    let merges: PairTable
    let unknown: Int32?
    /// Unknown scalars in a row are one token.
    let fusesUnknown: Bool
    /// A word that is a token is that token, whatever the merges say.
    let ignoresMerges: Bool
    /// The tokens of single bytes, -1 for none; empty without byte fallback.
    let byteIDs: [Int32]
    /// Where text may be cut into words; nil if it may not.
    let cuts: WordCuts?
    /// The tokens of ASCII, which most text is made of.
    private let plainIDs: [Int32?]

    init(
        vocabulary: Vocabulary, merges: PairTable, unknown: Int32?, fusesUnknown: Bool, ignoresMerges: Bool,
        byteIDs: [Int32], cuts: WordCuts?
    ) {
        self.vocabulary = vocabulary
        self.merges = merges
        self.unknown = unknown
        self.fusesUnknown = fusesUnknown
        self.ignoresMerges = ignoresMerges
        self.byteIDs = byteIDs
        self.cuts = cuts
        plainIDs = (0..<128).map { vocabulary.id([UInt8($0)]) }
    }

    /// What merging keeps from word to word.
    struct Scratch: ~Copyable {
        fileprivate var nodes: [Node] = []
        fileprivate var heap = MergeHeap()
    }

    /// A token of the word so far, in a list of neighbours; -1 ends it.
    fileprivate struct Node {
        var id: Int32
        var previous: Int32
        var next: Int32
        /// What the token and the next one make together; -1 for nothing, -2 for a token that was merged into another.
        var pair: Int32 = -1
    }

    /// Bytes that a word of `count` scalars takes at most: nodes, and the heap, to which a merge adds at most two entries.
    static func scratchBytes(_ count: Int) -> Int { count * 16 * 2 + count * 3 * 16 * 2 }

    /// Appends the ids of a word. Cost: n log n for n scalars.
    func encode(_ word: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch, into ids: inout IDBuffer) {
        if ignoresMerges, let id = vocabulary.id(word, count) { return ids.append(id) }
        fill(word, count, &scratch.nodes)
        merge(&scratch)
        for node in scratch.nodes where node.pair != -2 { ids.append(node.id) }
    }

    /// The word as single scalars and bytes.
    private func fill(_ word: UnsafePointer<UInt8>, _ count: Int, _ nodes: inout [Node]) {
        nodes.removeAll(keepingCapacity: true)
        // An unknown token that is not written yet: bytes of later scalars may come before it, as in the library.
        var pending = false
        var place = 0
        func add(_ id: Int32) {
            let index = Int32(nodes.count)
            nodes.append(Node(id: id, previous: index - 1, next: index + 1))
        }
        while place < count {
            let length = min(UTF8Text.length(word[place]), count - place)
            let scalar = word + place
            place += length
            if let id = scalar[0] < 0x80 ? plainIDs[Int(scalar[0])] : vocabulary.id(scalar, length) {
                if pending, let unknown { add(unknown) }
                pending = false
                add(id)
            } else if !byteIDs.isEmpty, (0..<length).allSatisfy({ byteIDs[Int(scalar[$0])] >= 0 }) {
                for index in 0..<length { add(byteIDs[Int(scalar[index])]) }
            } else if let unknown {
                if pending, !fusesUnknown { add(unknown) }
                pending = true
            }
        }
        if pending, let unknown { add(unknown) }
        if !nodes.isEmpty { nodes[nodes.count - 1].next = -1 }
    }

    private func merge(_ scratch: inout Scratch) {
        let count = scratch.nodes.count
        guard count > 1 else { return }
        scratch.heap.clear()
        scratch.nodes.withUnsafeMutableBufferPointer { nodes in
            for left in 0..<(count - 1) { pair(nodes, left, left + 1, &scratch.heap) }
            while let top = scratch.heap.pop() {
                let left = Int(top.place)
                // The pair may have changed since; what counts is that it still makes the same token.
                guard nodes[left].pair == top.id else { continue }
                let right = Int(nodes[left].next)
                nodes[left].id = top.id
                nodes[left].next = nodes[right].next
                nodes[right].pair = -2
                nodes[left].pair = -1
                if nodes[left].previous >= 0 { pair(nodes, Int(nodes[left].previous), left, &scratch.heap) }
                if nodes[left].next >= 0 {
                    nodes[Int(nodes[left].next)].previous = top.place
                    pair(nodes, left, Int(nodes[left].next), &scratch.heap)
                }
            }
        }
    }

    /// Notes what two neighbours make together.
    @inline(__always)
    private func pair(
        _ nodes: UnsafeMutableBufferPointer<Node>, _ left: Int, _ right: Int, _ heap: inout MergeHeap
    ) {
        let merge = merges.merge(nodes[left].id, nodes[right].id)
        nodes[left].pair = merge.id
        if merge.id >= 0 {
            heap.push(MergeHeap.Entry(rank: merge.rank, place: Int32(truncatingIfNeeded: left), id: merge.id))
        }
    }
}

/// Possible merges, the lowest rank first, then the leftmost.
struct MergeHeap {
    struct Entry {
        var rank: Int32
        var place: Int32
        var id: Int32

        @inline(__always)
        var order: UInt64 { UInt64(UInt32(bitPattern: rank)) << 32 | UInt64(UInt32(bitPattern: place)) }
    }

    private var entries: [Entry] = []

    mutating func clear() { entries.removeAll(keepingCapacity: true) }

    @inline(__always)
    mutating func push(_ entry: Entry) {
        entries.append(entry)
        var place = entries.count - 1
        while place > 0, case let parent = (place - 1) / 2, entries[parent].order > entry.order {
            entries[place] = entries[parent]
            place = parent
        }
        entries[place] = entry
    }

    @inline(__always)
    mutating func pop() -> Entry? {
        guard let top = entries.first else { return nil }
        let last = entries.removeLast()
        let count = entries.count
        guard count > 0 else { return top }
        var place = 0
        while true {
            var child = 2 * place + 1
            guard child < count else { break }
            if child + 1 < count, entries[child + 1].order < entries[child].order { child += 1 }
            guard entries[child].order < last.order else { break }
            entries[place] = entries[child]
            place = child
        }
        entries[place] = last
        return top
    }
}
