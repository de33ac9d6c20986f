import SluiceCore

/// What is taken to be equal when texts are compared.
struct Normalization: OptionSet, Sendable {
    let rawValue: UInt8

    /// Upper and lower case.
    static let case_ = Normalization(rawValue: 1)
    /// White space, however much, and none at the ends.
    static let space = Normalization(rawValue: 2)
    /// With punctuation and without.
    static let punctuation = Normalization(rawValue: 4)

    static let words: [(String, Normalization)] = [("case", .case_), ("space", .space), ("punctuation", .punctuation)]

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ names: [String]) {
        self = Self.words.reduce(into: []) { if names.contains($1.0) { $0.formUnion($1.1) } }
    }

    /// Replaces `bytes` by the normal form of a text.
    ///
    /// Punctuation (the general categories P*; not symbols such as `+`) is left out, letters become lower case where that
    /// is one scalar, and a run of white space becomes one space.
    func write(_ text: UnsafeBufferPointer<UInt8>, to bytes: inout [UInt8]) {
        bytes.removeAll(keepingCapacity: true)
        if isEmpty {
            bytes.append(contentsOf: text)
            return
        }
        let table = Scalars.Table()
        var place = 0
        var hasGap = false
        while place < text.count {
            var scalar = Scalars.next(text, &place)
            let kind = table.of(scalar)
            if contains(.punctuation), kind.contains(.punctuation) { continue }
            if contains(.space), kind.contains(.space) {
                hasGap = true
                continue
            }
            if hasGap, !bytes.isEmpty { bytes.append(0x20) }
            hasGap = false
            if contains(.case_) { scalar = Scalars.lowerCase(scalar) }
            Scalars.append(scalar, to: &bytes)
        }
    }
}
