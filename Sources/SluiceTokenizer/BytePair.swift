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
        var isLive = true
    }

    /// Bytes that a word of `count` scalars takes at most: nodes, and the heap, to which a merge adds at most two entries.
    static func scratchBytes(_ count: Int) -> Int { count * 16 * 2 + count * 3 * 16 * 2 }

    /// Appends the ids of a word. Cost: n log n for n scalars.
    func encode(_ word: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch, into ids: inout IDBuffer) {
        if ignoresMerges, let id = vocabulary.id(word, count) { return ids.append(id) }
        fill(word, count, &scratch.nodes)
        merge(&scratch)
        for node in scratch.nodes where node.isLive { ids.append(node.id) }
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
            if let id = vocabulary.id(scalar, length) {
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
            for left in 0..<(count - 1) {
                if let merge = merges.merge(nodes[left].id, nodes[left + 1].id) {
                    scratch.heap.push(MergeHeap.Entry(rank: merge.rank, place: Int32(left), id: merge.id))
                }
            }
            while let top = scratch.heap.pop() {
                let left = Int(top.place)
                guard nodes[left].isLive, nodes[left].next >= 0 else { continue }
                let right = Int(nodes[left].next)
                // The pair may have changed since; what counts is that it still makes the same token.
                guard merges.merge(nodes[left].id, nodes[right].id)?.id == top.id else { continue }
                nodes[left].id = top.id
                nodes[left].next = nodes[right].next
                nodes[right].isLive = false
                if nodes[left].next >= 0 { nodes[Int(nodes[left].next)].previous = Int32(left) }
                if nodes[left].previous >= 0 {
                    let before = nodes[left].previous
                    if let merge = merges.merge(nodes[Int(before)].id, top.id) {
                        scratch.heap.push(MergeHeap.Entry(rank: merge.rank, place: before, id: merge.id))
                    }
                }
                if nodes[left].next >= 0, let merge = merges.merge(top.id, nodes[Int(nodes[left].next)].id) {
                    scratch.heap.push(MergeHeap.Entry(rank: merge.rank, place: top.place, id: merge.id))
                }
            }
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
