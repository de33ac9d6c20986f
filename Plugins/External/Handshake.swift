import SluiceCore

/// The first lines: what a program is told, and what it says of itself.
struct Handshake: Sendable {
    /// The version of the protocol.
    static let version = 1

    let command: ProgramCommand
    /// What all starts have in common.
    let terms: [JSONValue.Entry]

    /// The line that a program gets first.
    ///
    /// - Parameter isCheck: whether no records follow, since only the start is tried.
    func line(stage: String, seed: Seed?, isCheck: Bool) -> [UInt8] {
        var entries: [JSONValue.Entry] = [.init("sluice", .integer(Self.version)), .init("stage", .text(stage))]
        // 53 bits: numbers that every language reads exactly.
        if let seed { entries.append(.init("seed", .integer(Int(seed.value >> 11)))) }
        entries += terms
        if isCheck { entries.append(.init("check", .flag(true))) }
        return Array(JSONValue.object(entries).json.utf8) + [0x0A]
    }

    /// What a program answers.
    struct Reply: Sendable, Hashable {
        var name: String?
        var version: String?

        /// For the identity of the run; empty if it says nothing of itself.
        var words: String { [name, version].compactMap { $0 }.joined(separator: " ") }
    }

    /// - Throws: `AnswerFault` with what is wrong, as the rest of a sentence that begins with the program.
    static func reply(_ line: [UInt8]) throws(AnswerFault) -> Reply {
        let shown = line.withUnsafeBytes { ProgramWords.quoted($0) }
        let should = "its first line is \(ProgramWords.startLine), and all other text goes to standard error"
        guard let value = try? JSONValue(json: line), case .object(let entries) = value else {
            throw AnswerFault("begins with \(shown); \(should)")
        }
        guard case .integer(let version)? = value["sluice"], value["ready"] == .flag(true) else {
            throw AnswerFault("begins with \(shown); \(should)")
        }
        guard version == Self.version else {
            throw AnswerFault("speaks version \(version) of the protocol; this program speaks \(Self.version)")
        }
        var reply = Reply()
        for entry in entries where !["sluice", "ready"].contains(entry.key) {
            guard case .text(let text) = entry.value, text.utf8.count <= 200 else {
                throw AnswerFault("begins with \(shown); `\(Printable.name(entry.key, most: 80))` must be a short text")
            }
            switch entry.key {
            case "name": reply.name = text
            case "version": reply.version = text
            default:
                let near = Registry.nearest(to: entry.key, in: ["name", "version"]).map { "; did you mean `\($0)`?" }
                throw AnswerFault(
                    "begins with \(shown), which has the unknown key `\(Printable.name(entry.key, most: 80))`\(near ?? "")"
                )
            }
        }
        return reply
    }
}
