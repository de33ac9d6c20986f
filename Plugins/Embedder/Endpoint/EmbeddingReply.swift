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

/// Base64 of 32-bit numbers, the lowest byte first (RFC 4648, with or without `=` at the end).
enum Base64 {
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (value, letter) in letters.utf8.enumerated() { values[Int(letter)] = UInt8(value) }
        return values
    }()

    /// - Returns: nil if the text is no base64, or ends in the middle of a number.
    static func floats(_ text: Slice<UnsafeBufferPointer<UInt8>>, reserving count: Int) -> [Float]? {
        var text = text
        while text.last == UInt8(ascii: "="), text.count > 1 { text.removeLast() }
        var floats: [Float] = []
        floats.reserveCapacity(count)
        // Bits that make no whole byte yet, and bytes that make no whole number yet.
        var (bits, bitCount): (UInt32, UInt32) = (0, 0)
        var (number, byteCount): (UInt32, UInt32) = (0, 0)
        let isSound = values.withUnsafeBufferPointer { values in
            for letter in UnsafeBufferPointer(rebasing: text) {
                let value = values[Int(letter)]
                // Some writers escape the slash; no other letter has a backslash before it.
                if letter == UInt8(ascii: "\\") { continue }
                guard value != 255 else { return false }
                bits = bits << 6 | UInt32(value)
                bitCount += 6
                guard bitCount >= 8 else { continue }
                bitCount -= 8
                number |= (bits >> bitCount & 0xFF) << (8 * byteCount)
                byteCount += 1
                if byteCount == 4 {
                    floats.append(Float(bitPattern: number))
                    (number, byteCount) = (0, 0)
                }
            }
            return byteCount == 0 && bits & ((1 << bitCount) - 1) == 0
        }
        return isSound ? floats : nil
    }
}
