import Glibc

/// Unigram (Kudo 2018): of all ways to cut a word into tokens, the one with the largest sum of scores.
///
/// A scalar that no token of one scalar covers may stand as unknown, 10 below the lowest score; unknown scalars in a row
/// are one token. Sums run from left to right in Double, and the first of equal sums stays: the library's order.
struct Unigram: Sendable {
    let vocabulary: Vocabulary
    let scores: [Double]
    let unknown: Int32?
    /// The tokens of single bytes, for what is unknown; empty without byte fallback.
    let byteIDs: [Int32]
    private let trie: ByteTrie
    private let unknownScore: Double

    init(vocabulary: Vocabulary, scores: [Double], unknown: Int32?, byteIDs: [Int32]) {
        self.vocabulary = vocabulary
        self.scores = scores
        self.unknown = unknown
        self.byteIDs = byteIDs
        trie = ByteTrie(vocabulary)
        unknownScore = (scores.min() ?? 0) - 10
    }

    var bytes: Int { vocabulary.bytes + scores.count * 8 + trie.bytes }

    struct Scratch: ~Copyable {
        fileprivate var nodes: [Node] = []
        fileprivate var pieces: [(start: Int32, end: Int32)] = []
    }

    /// The best way to what ends at a byte.
    fileprivate struct Node {
        var score = 0.0
        var start: Int32 = -1
        var id: Int32 = 0
    }

    /// Bytes that a word of `count` bytes takes at most.
    static func scratchBytes(_ count: Int) -> Int { (count + 1) * 24 * 2 }

    func encode(_ word: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch, into ids: inout IDBuffer) {
        search(word, count, &scratch.nodes)
        scratch.pieces.removeAll(keepingCapacity: true)
        var end = count
        var isFused = false
        while end > 0 {
            let node = scratch.nodes[end]
            let start = node.start >= 0 ? Int(node.start) : end - 1
            let isUnknown = node.id == unknown
            if isUnknown, isFused, let last = scratch.pieces.indices.last {
                scratch.pieces[last].start = Int32(start)
            } else {
                scratch.pieces.append((Int32(start), Int32(end)))
            }
            isFused = isUnknown
            end = start
        }
        for piece in scratch.pieces.reversed() {
            append(word + Int(piece.start), Int(piece.end - piece.start), into: &ids)
        }
    }

    private func search(_ word: UnsafePointer<UInt8>, _ count: Int, _ nodes: inout [Node]) {
        nodes.removeAll(keepingCapacity: true)
        nodes.append(contentsOf: repeatElement(Node(), count: count + 1))
        nodes.withUnsafeMutableBufferPointer { nodes in
            var start = 0
            while start < count {
                let score = nodes[start].score
                let single = min(UTF8Text.length(word[start]), count - start)
                var hasSingle = false
                trie.forEachPrefix(word + start, count - start) { length, id in
                    improve(&nodes[start + length], score + scores[Int(id)], start, id)
                    if length == single { hasSingle = true }
                }
                if !hasSingle { improve(&nodes[start + single], score + unknownScore, start, unknown ?? -1) }
                start += single
            }
        }
    }

    @inline(__always)
    private func improve(_ node: inout Node, _ score: Double, _ start: Int, _ id: Int32) {
        guard node.start < 0 || score > node.score else { return }
        node = Node(score: score, start: Int32(start), id: id)
    }

    /// Appends the id of a piece, or what stands for it.
    private func append(_ piece: UnsafePointer<UInt8>, _ count: Int, into ids: inout IDBuffer) {
        if let id = vocabulary.id(piece, count) { return ids.append(id) }
        if !byteIDs.isEmpty, (0..<count).allSatisfy({ byteIDs[Int(piece[$0])] >= 0 }) {
            for index in 0..<count { ids.append(byteIDs[Int(piece[index])]) }
        } else if let unknown {
            ids.append(unknown)
        }
    }
}

/// The tokens of a vocabulary by their bytes: a trie whose nodes list their children in the order of their bytes.
private struct ByteTrie: Sendable {
    private struct Node {
        /// The first child, and the number of children.
        var first: Int32 = 0
        var count: Int16 = 0
        var byte: UInt8 = 0
        /// The token that ends here; -1 for none.
        var id: Int32 = -1
    }

    private let nodes: [Node]
    /// The child of the root by byte; -1 for none.
    private let roots: [Int32]

    var bytes: Int { nodes.count * MemoryLayout<Node>.stride + 1024 }

    init(_ vocabulary: Vocabulary) {
        let (made, children) = vocabulary.withTokens { text, tokens in
            let sorted = tokens.filter { $0.count > 0 }.sorted { Self.precedes($0, $1, text) }
            return Self.build(sorted, text)
        }
        (nodes, roots) = (made, children)
    }

    private static func precedes(
        _ a: Vocabulary.Token, _ b: Vocabulary.Token, _ text: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        guard let base = text.baseAddress else { return false }
        let order = memcmp(base + Int(a.start), base + Int(b.start), Int(min(a.count, b.count)))
        return order != 0 ? order < 0 : a.count < b.count
    }

    /// A node is a range of tokens that share a prefix; its children lie together.
    private static func build(
        _ tokens: [Vocabulary.Token], _ text: UnsafeBufferPointer<UInt8>
    ) -> (nodes: [Node], roots: [Int32]) {
        var nodes = [Node()]
        var roots = [Int32](repeating: -1, count: 256)
        var pending: [(from: Int32, to: Int32, depth: Int32)] = [(0, Int32(tokens.count), 0)]
        var node = 0
        // Nodes are made in the order of `pending`, so both have the same index.
        while node < pending.count {
            let (from, to, depth) = pending[node]
            var place = Int(from)
            if place < Int(to), tokens[place].count == depth {
                nodes[node].id = tokens[place].id
                place += 1
            }
            nodes[node].first = Int32(nodes.count)
            while place < Int(to) {
                let byte = text[Int(tokens[place].start + depth)]
                var end = place
                while end < Int(to), text[Int(tokens[end].start + depth)] == byte { end += 1 }
                if depth == 0 { roots[Int(byte)] = Int32(nodes.count) }
                pending.append((Int32(place), Int32(end), depth + 1))
                nodes.append(Node(byte: byte))
                nodes[node].count += 1
                place = end
            }
            node += 1
        }
        return (nodes, roots)
    }

    /// Calls `body` with the length and id of each token that begins the bytes, the shortest first.
    @inline(__always)
    func forEachPrefix(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ body: (Int, Int32) -> Void) {
        guard count > 0 else { return }
        nodes.withUnsafeBufferPointer { nodes in
            var place = Int(roots[Int(bytes[0])])
            var length = 1
            while place >= 0 {
                let node = nodes[place]
                if node.id >= 0 { body(length, node.id) }
                guard length < count else { return }
                place = Self.child(nodes, node, bytes[length])
                length += 1
            }
        }
    }

    @inline(__always)
    private static func child(_ nodes: UnsafeBufferPointer<Node>, _ node: Node, _ byte: UInt8) -> Int {
        var low = Int(node.first)
        var high = low + Int(node.count)
        while low < high {
            let middle = (low + high) / 2
            if nodes[middle].byte == byte { return middle }
            if nodes[middle].byte < byte { low = middle + 1 } else { high = middle }
        }
        return -1
    }
}
