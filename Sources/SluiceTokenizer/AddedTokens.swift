/// Tokens that are cut out of the text before it is normalised, or after.
///
/// Of the tokens that begin at a place the longest counts, then the search goes on behind it (the leftmost-longest rule).
struct AddedTokens: Sendable {
    struct Token: Sendable {
        let content: [UInt8]
        let id: Int32
        /// Only where no letter, digit or mark touches it.
        let isWord: Bool
        /// Takes the white space on its left, or on its right.
        let takesLeft: Bool
        let takesRight: Bool
    }

    /// A part of a text: a token, or text to go on with (id -1).
    struct Part {
        var id: Int32
        var start: Int
        var end: Int
    }

    private let tokens: [Token]
    /// By first byte, the tokens from the longest to the shortest.
    private let byFirst: [[Int32]]

    init(_ given: [Token]) {
        tokens = given.filter { !$0.content.isEmpty }
        var byFirst = [[Int32]](repeating: [], count: 256)
        for (index, token) in tokens.enumerated() { byFirst[Int(token.content[0])].append(Int32(index)) }
        for byte in byFirst.indices {
            byFirst[byte].sort { [tokens] a, b in
                let (a, b) = (Int(a), Int(b))
                return (-tokens[a].content.count, a) < (-tokens[b].content.count, b)
            }
        }
        self.byFirst = byFirst
    }

    var isEmpty: Bool { tokens.isEmpty }

    /// Cuts a text. Cost: a look at each byte.
    func split(_ text: UnsafePointer<UInt8>, _ count: Int, into parts: inout [Part]) {
        parts.removeAll(keepingCapacity: true)
        var done = 0
        var place = 0
        byFirst.withUnsafeBufferPointer { byFirst in
            while !tokens.isEmpty, place < count {
                guard !byFirst[Int(text[place])].isEmpty, let token = match(text, place, count) else {
                    place += 1
                    continue
                }
                var start = place
                var end = place + token.content.count
                place = end
                if token.isWord, Self.endsWord(text, start) || Self.beginsWord(text, end, count) { continue }
                if token.takesLeft { start = max(Self.blankStart(text, start), done) }
                if token.takesRight { end = Self.blankEnd(text, end, count) }
                // A token inside the blanks that the one before has taken.
                start = max(start, done)
                end = max(end, start)
                if done < start { parts.append(Part(id: -1, start: done, end: start)) }
                parts.append(Part(id: token.id, start: start, end: end))
                done = end
            }
        }
        if done < count { parts.append(Part(id: -1, start: done, end: count)) }
    }

    private func match(_ text: UnsafePointer<UInt8>, _ place: Int, _ count: Int) -> Token? {
        for index in byFirst[Int(text[place])] {
            let content = tokens[Int(index)].content
            if count - place >= content.count, content.indices.allSatisfy({ text[place + $0] == content[$0] }) {
                return tokens[Int(index)]
            }
        }
        return nil
    }

    // MARK: What is around a token

    private static func before(_ text: UnsafePointer<UInt8>, _ end: Int) -> (scalar: UInt32, start: Int)? {
        guard end > 0 else { return nil }
        var start = end - 1
        while start > 0, end - start < 4, text[start] & 0xC0 == 0x80 { start -= 1 }
        return (UTF8Text.scalar(text + start, end - start).value, start)
    }

    private static func endsWord(_ text: UnsafePointer<UInt8>, _ end: Int) -> Bool {
        before(text, end).map { isWord($0.scalar) } ?? false
    }

    private static func beginsWord(_ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Bool {
        start < count && isWord(UTF8Text.scalar(text + start, count - start).value)
    }

    /// `\w` of Unicode's regular expressions.
    private static func isWord(_ value: UInt32) -> Bool {
        guard let properties = Unicode.Scalar(value)?.properties else { return false }
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }

    private static func isBlank(_ value: UInt32) -> Bool {
        ScalarClass.withTable { ScalarClass.of(value, $0).contains(.space) }
    }

    private static func blankStart(_ text: UnsafePointer<UInt8>, _ end: Int) -> Int {
        var start = end
        while let found = before(text, start), isBlank(found.scalar) { start = found.start }
        return start
    }

    private static func blankEnd(_ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int {
        var end = start
        while end < count, case let (scalar, length) = UTF8Text.scalar(text + end, count - end), isBlank(scalar) {
            end += length
        }
        return end
    }
}
