import Foundation
import SluiceCore
import Testing

/// The content of a run directory.
struct RunFiles {
    let kept: [UInt8]
    let ledger: [UInt8]
    let quarantine: [UInt8]
    /// Nil if no stage writes picks.
    let picks: [UInt8]?
    let manifest: JSONValue

    init(_ directory: String) throws {
        kept = try (try? readFile("\(directory)/kept.jsonl")) ?? unpacked("\(directory)/kept.jsonl.zst")
        ledger = try unpacked("\(directory)/ledger.jsonl.zst")
        quarantine = try unpacked("\(directory)/quarantine.jsonl.zst")
        picks = try? unpacked("\(directory)/picks.jsonl.zst")
        manifest = try JSONValue(json: try readFile("\(directory)/run.json"))
    }

    var keptLines: [[UInt8]] { split(kept) }
    var drops: [Entry] { get throws { try split(ledger).map { try Entry($0) } } }
    var faults: [Entry] { get throws { try split(quarantine).map { try Entry($0) } } }

    func count(_ name: String) -> Int { manifest["counts"]?[name]?.integerValue ?? -1 }

    /// `run.json` without the values that may differ between two equal runs.
    var lasting: String {
        JSONValue.object(manifest.entries.filter { $0.key != "timing" }).prettyJSON
    }

    /// Everything that must be equal in two equal runs.
    var digests: [String] {
        [digest(kept), digest(ledger), digest(quarantine), picks.map(digest) ?? "none", lasting]
    }

    /// A line of the ledger or the quarantine, parsed by a parser that isn't ours.
    struct Entry {
        let values: [String: Any]

        init(_ line: [UInt8]) throws {
            guard let values = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any] else {
                throw Failure("no object: \(text(line))")
            }
            self.values = values
        }

        var file: String { values["file"] as? String ?? "" }
        var line: Int { values["line"] as? Int ?? -1 }
        var byte: Int { values["byte"] as? Int ?? -1 }
        var place: String { "\(file):\(line)" }
        var stage: String { values["stage"] as? String ?? "" }
        var reason: String { values["reason"] as? String ?? "" }
        var error: String { values["error"] as? String ?? "" }
        var raw: String? { values["raw"] as? String }
        var base64: [UInt8]? { (values["base64"] as? String).flatMap { Data(base64Encoded: $0) }.map { Array($0) } }
        /// The kept record that caused the drop.
        var partner: String? {
            (values["kept"] as? [String: Any]).map { "\($0["file"] as? String ?? ""):\($0["line"] as? Int ?? -1)" }
        }
    }

    /// Expects that every record is in exactly one place: read = kept + dropped + quarantined, the files have as many
    /// lines as the counts state, and every partner in the ledger leads to a kept record.
    ///
    /// - Parameter lines: the input's lines by file name, if available; then the kept records are checked, too.
    func expectClosedAccount(
        _ lines: [String: [[UInt8]]] = [:], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let drops = try drops, faults = try faults
        #expect(
            count("read") == count("kept") + count("dropped") + count("quarantined"), sourceLocation: sourceLocation)
        #expect(keptLines.count == count("kept"), sourceLocation: sourceLocation)
        #expect(drops.count == count("dropped"), sourceLocation: sourceLocation)
        #expect(faults.count == count("quarantined"), sourceLocation: sourceLocation)
        let gone = Set((drops + faults).map(\.place))
        #expect(gone.count == drops.count + faults.count, "a record left twice", sourceLocation: sourceLocation)
        #expect(drops.allSatisfy { !$0.stage.isEmpty && !$0.reason.isEmpty }, sourceLocation: sourceLocation)
        // A record's partner was in the selection at the time of the drop: it was kept, or a later stage dropped it. So
        // the partners lead from every dropped record to a kept one.
        let order = (manifest["stages"]?.elements ?? []).compactMap { $0["stage"]?.textValue }
        let stageOf = Dictionary(drops.map { ($0.place, order.firstIndex(of: $0.stage) ?? -1) }) { first, _ in first }
        let bad = Set(faults.map(\.place))
        // One expectation for all: there may be many thousands of drops.
        let wrong = drops.filter { drop in
            guard let partner = drop.partner else { return false }
            return bad.contains(partner) || (stageOf[partner] ?? .max) <= stageOf[drop.place] ?? -1
        }
        #expect(
            wrong.isEmpty, "\(wrong.prefix(3).map { "\($0.place) lost to \($0.partner ?? "")" })",
            sourceLocation: sourceLocation)
        let stages = manifest["stages"]?.elements ?? []
        let counted = stages.flatMap { $0["dropped"]?.entries ?? [] }.compactMap(\.value.integerValue).reduce(0, +)
        #expect(counted == drops.count, sourceLocation: sourceLocation)

        guard !lines.isEmpty else { return }
        let staying = lines.keys.sorted().flatMap { name in
            (lines[name] ?? []).enumerated().filter { !$1.isEmpty && !gone.contains("\(name):\($0 + 1)") }.map(
                \.element)
        }
        #expect(keptLines == staying, "kept is what is in neither list, byte for byte", sourceLocation: sourceLocation)
    }
}
