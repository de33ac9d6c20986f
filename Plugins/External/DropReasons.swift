import SluiceCore

/// The reasons that programs of a stage have given so far. Each is counted in `run.json`, so there may not be many.
final class KnownReasons {
    static let most = 1000
    private var known: [[UInt8]: Reason] = [:]

    func reason(_ name: [UInt8]) throws(AnswerFault) -> Reason {
        if let reason = known[name] { return reason }
        guard 1...64 ~= name.count, name.allSatisfy(Self.isFit) else {
            throw AnswerFault(
                "drops with the reason \(name.withUnsafeBytes { ProgramWords.quoted($0) }); a reason is a word of letters, digits, `-` and `_`, at most 64 characters. What belongs to one record goes into `note`"
            )
        }
        guard known.count < Self.most else {
            throw AnswerFault(
                "has given \(Self.most) different reasons; a reason is counted, so there are few. What belongs to one record goes into `note`"
            )
        }
        let reason = Reason(String(decoding: name, as: UTF8.self))
        known[name] = reason
        return reason
    }

    private static func isFit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

/// The `note` of a drop: numbers and texts for the ledger.
enum DropNote {
    private static let reserved = ["file", "line", "stage", "reason", "kept"]
    private static let longestText = 1 << 10
    private static let most = 32

    static func measures(_ bytes: [UInt8]) throws(AnswerFault) -> [Measure] {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(json: bytes) } catch {
            throw AnswerFault("has a `note` that is no JSON: \(error)")
        }
        guard case .object(let entries) = value, entries.count <= most else {
            throw AnswerFault("has a `note` that is no object of at most \(most) numbers and texts")
        }
        var measures: [Measure] = []
        for entry in entries {
            guard !reserved.contains(entry.key), 1...64 ~= entry.key.utf8.count else {
                throw AnswerFault(
                    "has a `note` with the name `\(Printable.name(entry.key, most: 80))`, which the ledger uses itself or is too long"
                )
            }
            guard !measures.contains(where: { $0.name == entry.key }) else {
                throw AnswerFault("has `\(entry.key)` twice in its `note`")
            }
            switch entry.value {
            case .integer, .real, .flag: break
            case .text(let text) where text.utf8.count <= longestText: break
            default:
                throw AnswerFault(
                    "has a `note` whose `\(entry.key)` is no number, flag or text of at most \(longestText) bytes")
            }
            measures.append(Measure(entry.key, entry.value))
        }
        return measures
    }
}
