import SluiceHTTP

/// Why a reply with status 200 is of no use.
enum WrongReply: Error, Equatable {
    /// It is no JSON of the protocol; in words.
    case form(String)
    /// It has another number of vectors, or two of one text.
    case count(found: Int)
    /// The vectors have another dimension.
    case dimension(found: Int)
    /// A component is NaN or infinite: of the text with this number.
    case notFinite(text: Int)
}

/// The vectors of a reply: `{"data": [{"index": 0, "embedding": [numbers] or "base64"}, …]}`.
///
/// Items are put in order by their `index`; without one they are taken as they come.
struct EmbeddingReply {
    let count: Int
    let dimension: Int
    /// In the order of the texts.
    private(set) var vectors: [Float]
    private var isThere: [Bool]

    private struct Item {
        var index: Int?
        var numbers: [Float] = []
        var isThere = false
    }

    /// - Parameters:
    ///   - count: the number of texts that were sent.
    init(_ body: [UInt8], count: Int, dimension: Int) throws(WrongReply) {
        self.count = count
        self.dimension = dimension
        vectors = Array(repeating: 0, count: count * dimension)
        isThere = Array(repeating: false, count: count)
        var found = 0
        var wrong: WrongReply?
        do throws(ReplyError) {
            try Self.items(of: body, dimension) { item in
                if wrong == nil { wrong = add(item, number: found) }
                found += 1
            }
        } catch {
            throw .form(error.description)
        }
        if let wrong { throw wrong }
        guard found == count else { throw .count(found: found) }
    }

    /// What is wrong with an item; nil if it is a vector.
    private mutating func add(_ item: Item, number: Int) -> WrongReply? {
        guard item.isThere else { return .form("an item has no `embedding`") }
        let index = item.index ?? number
        guard isThere.indices.contains(index) else { return .count(found: number + 1) }
        guard !isThere[index] else { return .form("two items have the index \(index)") }
        guard item.numbers.count == dimension else { return .dimension(found: item.numbers.count) }
        guard item.numbers.allSatisfy(\.isFinite) else { return .notFinite(text: index) }
        isThere[index] = true
        vectors.replaceSubrange((index * dimension)..<((index + 1) * dimension), with: item.numbers)
        return nil
    }

    private static func items(
        of body: [UInt8], _ dimension: Int, _ use: (Item) -> Void
    ) throws(ReplyError) {
        var failure: ReplyError?
        var hasData = false
        body.withUnsafeBufferPointer { bytes in
            var reader = ReplyReader(bytes)
            do throws(ReplyError) {
                try reader.object { (key, reader) throws(ReplyError) in
                    guard key == "data", !hasData, try reader.kind() == .list else { return try reader.skip() }
                    hasData = true
                    try reader.list { (reader) throws(ReplyError) in use(try item(&reader, dimension)) }
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        if !hasData { throw ReplyError("it has no list `data`") }
    }

    private static func item(_ reader: inout ReplyReader, _ dimension: Int) throws(ReplyError) -> Item {
        var item = Item()
        try reader.object { (key, reader) throws(ReplyError) in
            switch key {
            case "index": item.index = try reader.integer()
            case "embedding":
                item.isThere = true
                item.numbers.reserveCapacity(dimension)
                if try reader.kind() == .string {
                    guard let numbers = Base64.floats(try reader.rawString(), reserving: dimension) else {
                        throw ReplyError("an `embedding` is no base64 of whole numbers")
                    }
                    item.numbers = numbers
                } else {
                    try reader.list { (reader) throws(ReplyError) in item.numbers.append(try reader.float()) }
                }
            default: try reader.skip()
            }
        }
        return item
    }
}
