import SluiceCore
import SluiceIO

/// The findings about a finished run.
public struct Verification: Sendable {
    /// Differences from what was written, as sentences; empty if there are none.
    public var faults: [String] = []
    /// What was compared and found correct, and what could not be checked, as phrases.
    public var checked: [String] = []
    public var unchecked: [String] = []
}

extension RunReader {
    /// Compares a run directory with its manifest.
    ///
    /// Reads each input once as stored on disk, and each output once, unpacked. `run.json` and the definition must
    /// match their digests, and the counts must match the lines of ledger and quarantine, by stage and reason. Of
    /// certificates, the radius is recomputed from the distances in the ledger; lower bounds need the vectors of all
    /// records, so only repeating the run can verify them.
    ///
    /// - Parameter inputFolder: the folder to which relative input names refer, if it has changed.
    public func verify(inputFolder: String? = nil) throws -> Verification {
        var result = Verification()
        result.faults = missingKeys()
        guard result.faults.isEmpty else { return result }
        result.faults = Manifest.sealFaults(manifest)
        let stageFiles = manifest["stage_files"]?.elements ?? []
        let digest = Manifest.definitionDigest(
            manifest["definition"] ?? .null, stageFiles + (manifest["stage_identities"]?.elements ?? []))
        if digest != manifest["definition_digest"]?.textValue {
            result.faults.append("the definition in \(ResultFile.manifest) does not match its digest")
        }
        try verifyInputs(stageFiles, inputFolder ?? manifest["timing"]?["folder"]?.textValue ?? "", &result)
        let outputs = manifest["outputs"]?.elements ?? []
        for output in outputs { result.faults += verify(output: output) }
        let models = manifest["models"]?.elements ?? []
        let exports = manifest["exports"]?.elements ?? []
        for model in models + exports { result.faults += verify(model: model) }
        result.faults += countFaults()
        // If files differ, their lines prove nothing.
        if result.faults.isEmpty { try verifyLines(&result) }
        try expectSameResult()
        if result.faults.isEmpty {
            let kept = models.isEmpty ? [] : [models.count == 1 ? "1 model" : "\(models.count) models"]
            result.checked +=
                ["\(outputs.count + exports.count) outputs"] + kept + ["\(ResultFile.manifest)", "the counts"]
        }
        return result
    }

    /// The required keys that a manifest lacks.
    private func missingKeys() -> [String] {
        let texts = ["sluice", "definition_digest", "digest"]
        let objects = ["definition", "counts", "quarantine", "timing"]
        let lists = ["inputs", "stages", "outputs", "warnings"]
        var missing = texts.filter { manifest[$0]?.textValue == nil }
        for key in objects { if case .object? = manifest[key] { continue } else { missing.append(key) } }
        for key in lists { if case .list? = manifest[key] { continue } else { missing.append(key) } }
        let counts = ["read", "kept", "dropped", "quarantined", "blank_lines"]
        missing += counts.filter { manifest["counts"]?[$0]?.integerValue == nil }.map { "counts.\($0)" }
        var faults: [String] = []
        guard missing.isEmpty else { return ["\(ResultFile.manifest) lacks \(missing.joined(separator: ", "))"] }
        if manifest["inputs"]?.elements.isEmpty == true { faults.append("\(ResultFile.manifest) names no input") }
        let inputs = manifest["inputs"]?.elements ?? []
        if inputs.contains(where: { $0["file"]?.textValue == nil || $0["lines"]?.integerValue == nil }) {
            faults.append("an input in \(ResultFile.manifest) lacks its name or its lines")
        }
        let names = manifest.outputNames
        for name in [keptName, ResultFile.ledger, ResultFile.quarantine] where !names.contains(name) {
            faults.append("\(ResultFile.manifest) does not name \(name) among the outputs")
        }
        for name in manifest.modelNames where !KeptModels.owns(name) {
            faults.append("\(ResultFile.manifest) names a model `\(name)`, which no run writes")
        }
        for name in names where !ResultFile.all.contains(name) && !SinkFolder.owns(name) {
            faults.append("\(ResultFile.manifest) names an output `\(name)`, which no run writes")
        }
        return faults
    }

    /// The name of the file of kept records according to the run's definition.
    private var keptName: String {
        let word = manifest["definition"]?["output"]?["compression"]?.textValue
        return (word.flatMap(OutputCompression.init(rawValue:)) ?? .zstd).keptName
    }

    private func verifyInputs(_ stageFiles: [JSONValue], _ folder: String, _ result: inout Verification) throws {
        var count = 0
        let inputs = manifest["inputs"]?.elements ?? []
        func path(_ name: String) -> String {
            name.hasPrefix("/") || folder.isEmpty || InputSpec.isAddress(name) ? name : "\(folder)/\(name)"
        }
        let first: FirstRecords?
        do { first = try firstRecords(of: inputs.compactMap { $0["file"]?.textValue }.map(path)) } catch {
            return result.faults.append("the first records of the inputs can't be read: \(error)")
        }
        for (index, input) in (inputs + stageFiles.filter { $0["content"] != .null }).enumerated() {
            guard let name = input["file"]?.textValue else { continue }
            guard name != "-" else {
                result.unchecked.append("the input, which was standard input")
                continue
            }
            let file = path(name)
            let shown = Printable.name(name, most: Printable.longestLine)
            do throws(IOFailure) {
                if try store.status(ofInput: file)?.isStream == true {
                    result.unchecked.append("the input \(shown), which can be read only once")
                    continue
                }
                count += 1
                let known = input["content"]?.textValue ?? ""
                let isSampled = known.hasPrefix(StageFiles.sampledPrefix)
                let found =
                    if isSampled {
                        try store.identity(of: file).1
                    } else if index < inputs.count, let first {
                        StageFiles.spelled(try first.digest(of: file).hash)
                    } else {
                        StageFiles.spelled(try store.digest(of: file).hash)
                    }
                if isSampled { result.unchecked.append("\(shown) beyond a sample of its pages") }
                if found != known {
                    result.faults.append("input \(shown) is not the file that was read")
                }
            } catch {
                result.faults.append("input \(error)")
            }
        }
        if count > 0 { result.checked.append(count == 1 ? "1 input" : "\(count) inputs") }
    }

    /// What the run read of its inputs; nil if that was all of them.
    private func firstRecords(of paths: [String]) throws -> FirstRecords? {
        let input = manifest["definition"]?["input"]
        guard let limit = input?["limit"]?.integerValue, !paths.contains(where: { $0.hasSuffix("/-") || $0 == "-" })
        else { return nil }
        return try FirstRecords(
            limit, of: paths, in: store,
            maxRecord: input?["max_record"]?.integerValue ?? InputSpec.defaultMaxRecord)
    }

    private func verify(output: JSONValue) -> [String] {
        guard let name = output["file"]?.textValue else { return ["an output without a name"] }
        var faults: [String] = []
        do throws(IOFailure) {
            let found = try ContentFacts(of: file(name), fileSystem: fileSystem)
            if found.digest != output["content"]?.textValue { faults.append("\(name) differs from what was written") }
            for (key, value) in [("lines", found.lines), ("bytes", found.bytes)]
            where value != output[key]?.integerValue {
                faults.append("\(name) has \(value) \(key) instead of \(output[key]?.integerValue ?? 0)")
            }
        } catch {
            faults.append(error.description)
        }
        return faults
    }

    private func verify(model: JSONValue) -> [String] {
        guard let name = model["file"]?.textValue else { return ["a model without a name"] }
        do throws(IOFailure) {
            let found = try fileSystem.digest(of: file(name))
            let isSame = "xxh3-128:" + hexadecimal(found.hash) == model["content"]?.textValue
            return isSame && found.bytes == model["bytes"]?.integerValue
                ? [] : ["\(name) differs from what was written"]
        } catch {
            return [error.description]
        }
    }

    /// Contradictions between the counts.
    private func countFaults() -> [String] {
        func count(_ key: String) -> Int { manifest["counts"]?[key]?.integerValue ?? 0 }
        func lines(_ name: String) -> Int? {
            manifest["outputs"]?.elements.first { $0["file"]?.textValue == name }?["lines"]?.integerValue
        }
        var faults: [String] = []
        func expect(_ found: Int, _ what: String, _ expected: Int, _ words: String) {
            if found != expected { faults.append("\(what) \(found), but \(words) \(expected)") }
        }
        let (read, kept, dropped, quarantined) = (count("read"), count("kept"), count("dropped"), count("quarantined"))
        expect(kept + dropped + quarantined, "kept, dropped and quarantined add up to", read, "the records read are")
        for (name, records) in [
            (keptName, kept), (ResultFile.ledger, dropped), (ResultFile.quarantine, quarantined),
            (ResultFile.picks, kept),
        ] {
            if let found = lines(name) { expect(found, "the lines of \(name) are", records, "the records") }
        }
        let inputLines = (manifest["inputs"]?.elements ?? []).compactMap { $0["lines"]?.integerValue }.reduce(0, +)
        expect(inputLines, "the lines of the inputs are", read + count("blank_lines"), "records and blank lines")
        let kinds = (manifest["quarantine"]?.entries ?? []).compactMap(\.value.integerValue).reduce(0, +)
        expect(kinds, "the kinds of malformed lines add up to", quarantined, "the quarantined lines are")
        var remaining = read - quarantined
        for stage in manifest["stages"]?.elements ?? [] {
            let name = stage["stage"]?.textValue ?? "?"
            expect(stage["in"]?.integerValue ?? -1, "stage `\(name)` was reached by", remaining, "there were")
            remaining -= (stage["dropped"]?.entries ?? []).compactMap(\.value.integerValue).reduce(0, +)
            expect(stage["out"]?.integerValue ?? -1, "stage `\(name)` left", remaining, "by its drops it left")
        }
        expect(remaining, "the stages leave", kept, "the kept records are")
        return faults
    }

    // MARK: Ledger and quarantine, line by line

    private func verifyLines(_ result: inout Verification) throws {
        var tally = LineTally(names: names)
        try tally.read(file(ResultFile.quarantine), isLedger: false, fileSystem)
        try tally.read(file(ResultFile.ledger), isLedger: true, fileSystem)
        result.faults += tally.faults
        for stage in manifest["stages"]?.elements ?? [] {
            let name = stage["stage"]?.textValue ?? "?"
            let counted = stage["dropped"]?.entries ?? []
            let found = tally.drops.removeValue(forKey: name) ?? [:]
            for reason in Set(counted.map(\.key)).union(found.keys).sorted() {
                let (says, has) = (stage["dropped"]?[reason]?.integerValue ?? 0, found[reason] ?? 0)
                guard says != has else { continue }
                result.faults.append("the ledger has \(has) records that `\(name)` dropped as \(reason), not \(says)")
            }
            verifyCertificate(stage, name, tally.farthest[name] ?? 0, &result)
        }
        for name in tally.drops.keys.sorted() {
            result.faults.append("the ledger names a stage `\(name)` that the run did not have")
        }
    }

    /// A stage that reports a radius writes, for each record it drops, the distance to the nearest record it keeps.
    private func verifyCertificate(_ stage: JSONValue, _ name: String, _ farthest: Double, _ result: inout Verification)
    {
        guard let radius = stage["radius"]?.realValue ?? stage["largest_radius_of_a_group"]?.realValue else { return }
        guard radius == farthest else {
            result.faults.append("`\(name)` states a radius of \(radius), but by the ledger it is \(farthest)")
            return
        }
        result.checked.append("the radius of `\(name)`")
        let groups = (stage["per_group"]?.elements ?? []).filter { $0["lower_bound"] != nil }
        guard stage["lower_bound"] != nil || !groups.isEmpty else { return }
        if !([stage] + groups).allSatisfy(Self.hasItsFactor) {
            result.faults.append("a factor of `\(name)` is not its radius divided by its lower bound")
        }
        let farthestGroup = groups.compactMap { $0["radius"]?.realValue }.max() ?? radius
        if farthestGroup > radius || groups.count == stage["groups"]?.integerValue && farthestGroup != radius {
            result.faults.append("the radii of the groups of `\(name)` do not agree with its largest radius")
        }
        result.unchecked.append(groups.isEmpty ? "the lower bound of `\(name)`" : "the lower bounds of `\(name)`")
    }

    /// Whether the factor of a certificate is its radius divided by its lower bound; true without one.
    private static func hasItsFactor(_ certificate: JSONValue) -> Bool {
        guard let bound = certificate["lower_bound"]?.realValue, let radius = certificate["radius"]?.realValue else {
            return true
        }
        let factor = certificate["factor"]?.realValue
        return bound <= radius && (bound > 0 ? factor == radius / bound : factor == (radius == 0 ? 1 : nil))
    }
}

/// Totals of the lines of ledger and quarantine.
private struct LineTally {
    let indices: [[UInt8]: Int]
    private(set) var faults: [String] = []
    /// Dropped records by stage and reason.
    var drops: [String: [String: Int]] = [:]
    /// The largest `distance` of each stage.
    private(set) var farthest: [String: Double] = [:]

    init(names: [String]) {
        indices = Dictionary(zip(names.map { Array($0.utf8) }, names.indices), uniquingKeysWith: { first, _ in first })
    }

    /// Expects lines in input order.
    mutating func read(_ path: String, isLedger: Bool, _ fileSystem: FileSystem) throws {
        let reader = BlockReader(try fileSystem.openInput(path), limits: FramingLimits(maxRecord: 1 << 30))
        let extractor = JSONExtractor(["file", "line", "stage", "reason", "distance"].map { FieldPath($0) })
        let arena = FieldArena(width: 5)
        let block = RawBlock()
        var last = Ordinal(rawValue: 0)
        while try reader.next(into: block) {
            for line in block.lines {
                arena.removeAll()
                func text(_ field: Int) -> String { String(decoding: arena.value(0, field), as: UTF8.self) }
                guard extractor.extract(block.bytes(of: line), into: arena) == nil,
                    let file = indices[Array(arena.value(0, 0))], let number = Int(text(1))
                else { return faults.append("\(path) has a line without a valid position in the input") }
                let place = Ordinal(file: file, line: number)
                guard last < place else {
                    return faults.append("the lines of \(path) are not in the order of the input")
                }
                last = place
                guard isLedger else { continue }
                let stage = text(2)
                drops[stage, default: [:]][text(3), default: 0] += 1
                if let distance = Double(text(4)) { farthest[stage] = max(farthest[stage] ?? 0, distance) }
            }
        }
    }
}
