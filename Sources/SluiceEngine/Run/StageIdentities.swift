import SluiceCore

/// What stages report as their identity: see `Stage.identity()`.
enum StageIdentities {
    /// `stage`, `name` and `value` of each, by stage and name.
    static func report(_ chain: StageChain) throws(EngineError) -> [JSONValue] {
        var all: [JSONValue] = []
        for link in chain.links {
            let identity: [String: String]
            do throws(StageError) { identity = try link.stage.identity() } catch {
                throw EngineError(error, stage: link.label)
            }
            all += identity.sorted { $0.key < $1.key }.map { name, value in
                ["stage": .text(link.label), "name": .text(name), "value": .text(value)]
            }
        }
        return all
    }

    /// What has changed, as phrases.
    static func differences(_ old: JSONValue, _ new: JSONValue) -> [String] {
        func value(of entry: JSONValue, in list: JSONValue) -> String? {
            list.elements.first { $0["stage"] == entry["stage"] && $0["name"] == entry["name"] }?["value"]?.textValue
        }
        let gone = old.elements.filter { value(of: $0, in: new) == nil }
        return (new.elements + gone).compactMap { entry in
            let (before, after) = (value(of: entry, in: old), value(of: entry, in: new))
            guard before != after else { return nil }
            let (stage, name) = (entry["stage"]?.textValue ?? "?", entry["name"]?.textValue ?? "?")
            return "\(name) of stage `\(stage)`: \(before ?? "none") → \(after ?? "none")"
        }
    }
}
