import SluiceCore
import SluiceEngine

/// What the first records of some files look like: which fields they have, and what these may be good for.
struct InputLook {
    /// A field at the top of records.
    struct Field {
        let name: String
        /// Records that have it, and how many of these hold a text, a number, or a list or map.
        var count = 0
        var texts = 0
        var numbers = 0
        var others = 0
        var characters = 0
        /// Texts, while they are few and short.
        var values: Set<String>? = []
    }

    private(set) var records = 0
    /// In the order of their first appearance.
    private(set) var fields: [Field] = []

    static let most = 1000

    mutating func add(_ record: JSONValue) {
        records += 1
        for entry in record.entries {
            let place: Int
            if let known = fields.firstIndex(where: { $0.name == entry.key }) {
                place = known
            } else {
                // Keys that are data, such as one per record, are no fields.
                guard fields.count < 1000 else { continue }
                place = fields.count
                fields.append(Field(name: entry.key))
            }
            fields[place].add(entry.value)
        }
    }

    private func has(_ names: String...) -> Bool {
        names.allSatisfy { name in fields.contains { $0.name == name && $0.count * 2 >= records } }
    }

    /// The form of records that `format: {template: auto}` knows; nil if it knows none.
    var schema: String? {
        if has("chosen", "rejected") { return "pairs of preference" }
        if has("messages") || has("conversations") { return "chat" }
        let pairs = [
            ("prompt", "completion"), ("instruction", "output"), ("question", "answer"), ("prompt", "response"),
            ("query", "response"), ("question", "response"), ("input", "output"),
        ]
        return pairs.first { has($0.0, $0.1) }.map { "\($0.0) and \($0.1)" }
    }

    /// Fields of texts, the longest first.
    var texts: [Field] {
        fields.filter { $0.texts * 2 >= records && $0.texts > 0 }.sorted {
            $0.characters / $0.texts > $1.characters / $1.texts
        }
    }

    /// Fields that tell groups of records apart: few texts, each of several records. That with the most of them first.
    var labels: [Field] {
        fields.filter { field in
            guard let values = field.values, field.texts * 2 >= records, field.numbers + field.others == 0 else {
                return false
            }
            return values.count >= 2 && values.count * 4 <= field.count
        }.sorted { ($0.values?.count ?? 0) > ($1.values?.count ?? 0) }
    }

    /// Fields of numbers whose name says that they judge.
    var scores: [Field] {
        fields.filter { field in
            field.numbers * 2 >= records
                && ["score", "quality", "rating", "reward"].contains { field.name.contains($0) }
        }
    }
}

extension InputLook.Field {
    fileprivate mutating func add(_ value: JSONValue) {
        switch value {
        case .null: return
        case .text(let text):
            texts += 1
            characters += text.utf8.count
            note(text)
        case .integer, .real, .flag: numbers += 1
        case .list, .object: others += 1
        }
        count += 1
    }

    private mutating func note(_ text: String) {
        guard text.utf8.count <= 64 else {
            values = nil
            return
        }
        values?.insert(text)
        if values?.count ?? 0 > 200 { values = nil }
    }
}
