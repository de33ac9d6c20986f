import Glibc
import SluiceCore
import SluiceIO

/// The version of the program; part of a run's identity.
public let sluiceVersion = "0.1.0"

/// `run.json`: the run's inputs, definition and results.
///
/// Everything that may differ between two equal runs is under `timing`.
enum Manifest {
    /// The identity of a run: the definition, the content of the files that its stages name, what the stages report
    /// of themselves, the input with the format of its records, and the version.
    static func identity(
        _ definition: Definition, _ chain: StageChain, _ catalog: InputCatalog, _ options: RunOptions
    ) throws(EngineError) -> JSONValue {
        let canonical = StageFiles.named(definition, chain).decidingReport
        let files = StageFiles.report(definition, chain, fileSystem: options.fileSystem)
        let stages = try StageIdentities.report(chain)
        return .object(
            [
                .init("sluice", .text(sluiceVersion)),
                .init("definition", canonical),
                .init("definition_digest", .text(definitionDigest(canonical, files + stages))),
            ] + (options.format is JSONRecords ? [] : [.init("format", .text(options.format.name))])
                + (files.isEmpty ? [] : [.init("stage_files", .list(files))])
                + (stages.isEmpty ? [] : [.init("stage_identities", .list(stages))]) + [
                    .init(
                        "inputs",
                        .list(
                            catalog.files.map { file in
                                .object([.init("file", .text(file.name)), .init("bytes", .integer(Int(file.size)))])
                            }))
                ])
    }

    /// The conditions under which work files are usable: the identity, unchanged inputs, and the limits of blocks and
    /// shards.
    static func workIdentity(_ identity: JSONValue, _ catalog: InputCatalog, _ options: RunOptions) -> JSONValue {
        .object(
            identity.entries + [
                .init(
                    "modified",
                    .list(
                        catalog.files.map { file in
                            .object([
                                .init("file", .text(file.name)), .init("version", .text(file.status.version)),
                            ])
                        })),
                .init("block_bytes", .integer(options.blockBytes)),
                .init("segment_bytes", .integer(options.segmentBytes)),
                .init("part_bytes", .integer(options.partBytes)),
            ])
    }

    /// A digest of all that decides what work files hold.
    static func planDigest(_ identity: JSONValue, _ catalog: InputCatalog, _ options: RunOptions) -> ContentHash {
        Array(workIdentity(identity, catalog, options).json.utf8).withUnsafeBytes { XXHash.hash128($0) }
    }

    /// The plan of a run that is done task by task: all that a process needs to know of it.
    static func taskPlan(_ identity: JSONValue, _ setup: TaskRun.Setup) -> JSONValue {
        .object(
            workIdentity(identity, setup.catalog, setup.options).entries + [
                .init("tasks", .flag(true)), .init("memory", .integer(setup.definition.memory)),
                .init("folder", .text(absolutePath(setup.definition.input.folder))),
            ] + (setup.definition.answers.map { [.init("answers", .text($0))] } ?? [])
                + (setup.options.dedupeHashBits.map { [.init("dedupe_hash_bits", .integer($0))] } ?? []))
    }

    static func workDifferences(_ work: JSONValue, _ plan: JSONValue) -> [String] {
        let found = differences(work, plan)
        guard found.isEmpty else { return found }
        let times = zip(work["modified"]?.elements ?? [], plan["modified"]?.elements ?? [])
        let modified = times.filter { $0 != $1 }.map { "input \($0.0["file"]?.textValue ?? "?") was modified since" }
        let limits = ["block_bytes", "segment_bytes", "part_bytes"].flatMap { key in
            Definition.differences(from: plan[key] ?? .null, to: work[key] ?? .null).map { "\(key) \($0)" }
        }
        let kind =
            work["tasks"] == plan["tasks"] ? [] : ["it is done \(plan["tasks"] == nil ? "by one process" : "in tasks")"]
        return modified + limits + kind
    }

    /// Differences between a planned run and an existing manifest, as phrases.
    static func differences(_ identity: JSONValue, _ manifest: JSONValue) -> [String] {
        var found: [String] = []
        if let old = manifest["sluice"], old != identity["sluice"] {
            found.append("version: \(old.textValue ?? "unknown") → \(sluiceVersion)")
        }
        let usual = JSONRecords().name
        let formats = [manifest, identity].map { $0["format"]?.textValue ?? usual }
        if formats[0] != formats[1] { found.append("format of the records: \(formats[0]) → \(formats[1])") }
        return found
            + Definition.differences(from: manifest["definition"] ?? .null, to: identity["definition"] ?? .null)
            + StageFiles.differences(manifest["stage_files"] ?? .list([]), identity["stage_files"] ?? .list([]))
            + StageIdentities.differences(
                manifest["stage_identities"] ?? .list([]), identity["stage_identities"] ?? .list([]))
            + inputDifferences(manifest["inputs"] ?? .list([]), identity["inputs"] ?? .list([]))
    }

    private static func inputDifferences(_ old: JSONValue, _ new: JSONValue) -> [String] {
        func sizes(_ report: JSONValue) -> [String: Int] {
            Dictionary(
                report.elements.compactMap { file in
                    file["file"]?.textValue.map { ($0, file["bytes"]?.integerValue ?? 0) }
                }, uniquingKeysWith: { first, _ in first })
        }
        let (before, after) = (sizes(old), sizes(new))
        return Set(before.keys).union(after.keys).sorted().compactMap { name in
            switch (before[name], after[name]) {
            case (nil, _): "input \(name) is new"
            case (_, nil): "input \(name) is gone"
            case (let a?, let b?): a == b ? nil : "input \(name) had \(a) bytes and has \(b)"
            }
        }
    }

    static func digest(of report: JSONValue) -> String {
        "xxh3-128:" + Array(report.json.utf8).withUnsafeBytes { hexadecimal(XXHash.hash128($0)) }
    }

    static func make(
        identity: JSONValue, _ run: RunContext, _ findings: RunFindings, _ outputs: Outputs, seconds: Double
    ) throws(EngineError) -> JSONValue {
        let (account, files) = (findings.account, findings.files)
        var stages: [JSONValue] = []
        var remaining = account.read - account.quarantined
        func add(_ name: String, _ report: [JSONValue.Entry]) {
            let dropped = account.dropped(by: name)
            stages.append(
                .object(
                    [
                        .init("stage", .text(name)), .init("in", .integer(remaining)),
                        .init(
                            "dropped",
                            .object(account.drops(of: name).map { .init($0.reason.name, .integer($0.count)) })),
                        .init("out", .integer(remaining - dropped)),
                    ] + report))
            remaining -= dropped
        }
        if let dedupe = findings.dedupeReport { add(Deduper.stage, dedupe.entries) }
        for link in run.chain.links {
            let own = findings.reports.filter { $0.label == link.label }.map(\.report)
            if let fault = ReportRules.fault(in: own) { throw EngineError(defect: fault, stage: link.label) }
            let through = account.through[link.label].map { [JSONValue.Entry("through", .integer($0))] } ?? []
            let questions = account.questions[link.label].map { [JSONValue.Entry("questions", .integer($0))] } ?? []
            add(link.label, through + questions + own.flatMap(\.entries))
        }
        let inputs: [JSONValue] = run.catalog.files.enumerated().map { index, file in
            .object([
                .init("file", .text(file.name)), .init("bytes", .integer(Int(file.size))),
                .init("lines", .integer(files[index]?.lines ?? 0)),
                .init("content", .text("xxh3-128:" + hexadecimal(files[index]?.hash ?? ContentHash(high: 0, low: 0)))),
            ])
        }
        return sealed(
            identity.entries.map { $0.key == "inputs" ? .init("inputs", .list(inputs)) : $0 } + [
                .init(
                    "counts",
                    .object([
                        .init("read", .integer(account.read)), .init("kept", .integer(account.kept)),
                        .init("dropped", .integer(account.dropped)),
                        .init("quarantined", .integer(account.quarantined)),
                        .init("blank_lines", .integer(account.blank)),
                    ])),
                .init("quarantine", .object(account.faultCounts.map { .init($0.code, .integer($0.count)) })),
                .init("stages", .list(stages)),
                .init(
                    "outputs",
                    .list(
                        outputs.lasting.map { stream in
                            .object([
                                .init("file", .text(stream.name)), .init("lines", .integer(stream.lines)),
                                .init("bytes", .integer(stream.contentBytes)),
                                .init("content", .text("xxh3-128:" + stream.contentDigest)),
                            ])
                        } + findings.sinkFiles)),
            ] + (findings.models.isEmpty ? [] : [.init("models", .list(findings.models))])
                + (findings.exports.isEmpty ? [] : [.init("exports", .list(findings.exports))]) + [
                    .init("warnings", .list(findings.allWarnings.map { .text($0) }))
                ],
            timing: timing(run, findings, seconds: seconds))
    }

    // MARK: The seal

    /// A manifest with digests of itself: `digest` of everything that is equal in equal runs, and one of the whole in
    /// `timing`.
    private static func sealed(_ lasting: [JSONValue.Entry], timing: JSONValue) -> JSONValue {
        let alike = lasting + [.init("digest", .text(digest(of: .object(lasting))))]
        let whole = digest(of: .object(alike + [.init("timing", timing)]))
        return .object(alike + [.init("timing", .object(timing.entries + [.init("digest", .text(whole))]))])
    }

    /// Differences between a manifest and its digests, as sentences; empty if they match.
    static func sealFaults(_ manifest: JSONValue) -> [String] {
        let timing = manifest["timing"] ?? .null
        let lasting = manifest.entries.filter { $0.key != "timing" && $0.key != "digest" }
        let again = sealed(lasting, timing: .object(timing.entries.filter { $0.key != "digest" }))
        let name = ResultFile.manifest
        guard manifest["digest"] != nil, timing["digest"] != nil else { return ["\(name) has no digest of itself"] }
        guard again["digest"] == manifest["digest"] else {
            return ["\(name) was changed: its digest does not match its content"]
        }
        guard again == manifest else { return ["`timing` in \(name) was changed"] }
        return []
    }

    /// The digest recorded with a definition: of the definition, of the files that its stages name, and of what the
    /// stages report of themselves.
    static func definitionDigest(_ definition: JSONValue, _ stages: [JSONValue]) -> String {
        digest(of: stages.isEmpty ? definition : .list([definition] + stages))
    }

    private static func timing(_ run: RunContext, _ findings: RunFindings, seconds: Double) -> JSONValue {
        let definition = run.definition
        return .object(
            [
                .init("seconds", .real((seconds * 1000).rounded() / 1000)),
                .init("threads", .integer(run.options.threads)),
                .init("memory_budget", .integer(definition.memory)),
                .init("memory_peak", .integer(peakMemory() ?? 0)),
                .init("memory_leased_peak", .integer(run.budget.peak)),
                .init("memory_program", .integer(MemoryShares.program)),
                .init("directory", .text(definition.output.directory)),
                .init("folder", .text(absolutePath(definition.input.folder))),
            ] + phases(run) + asked(findings, log: run.answers.folder) + noted(run))
    }

    /// The phases that this process did: a resumed run lacks those before the stop.
    private static func phases(_ run: RunContext) -> [JSONValue.Entry] {
        let phases = run.progress.phases.map { phase -> JSONValue in
            [
                "phase": .text(phase.name), "seconds": .real((phase.seconds * 1000).rounded() / 1000),
                "memory_leased": .integer(phase.leased),
            ]
        }
        return phases.isEmpty ? [] : [.init("phases", .list(phases))]
    }

    /// What stages noted of their work in this process.
    private static func noted(_ run: RunContext) -> [JSONValue.Entry] {
        let stages = zip(run.chain.links, run.journals).compactMap { link, journal -> JSONValue? in
            let figures = journal.all
            guard !figures.isEmpty else { return nil }
            return .object(
                [.init("stage", .text(link.label))] + figures.map { .init($0.name, .integer($0.value)) })
        }
        return stages.isEmpty ? [] : [.init("stages", .list(stages))]
    }

    /// What this process asked, if a stage asks. Which answers were there before does not affect the result.
    private static func asked(_ findings: RunFindings, log: String) -> [JSONValue.Entry] {
        guard !findings.account.questions.isEmpty else { return [] }
        let asked = findings.asked.map { label, counts in
            JSONValue.object([
                .init("stage", .text(label)), .init("asked", .integer(counts.asked)),
                .init("requests", .integer(counts.requests)),
                .init("from_log", .integer(counts.questions - counts.asked)),
            ])
        }
        return [.init("answers", .list(asked)), .init("answer_log", .text(absolutePath(log)))]
    }
}

/// The folder to which relative input names refer.
private func absolutePath(_ folder: String) -> String {
    guard let resolved = realpath(folder.isEmpty ? "." : folder, nil) else { return folder }
    defer { free(resolved) }
    return String(cString: resolved)
}

/// VmHWM: the peak memory of the process, including mapped pages, in bytes.
package func peakMemory() -> Int? {
    guard let file = fopen("/proc/self/status", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard text.hasPrefix("VmHWM:") else { continue }
        return text.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) }.map { $0 << 10 }
    }
    return nil
}
