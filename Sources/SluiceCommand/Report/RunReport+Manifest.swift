import SluiceCore

extension RunReport {
    /// What `run.json` says.
    init(manifest: JSONValue, name: String) {
        self.name = name
        definition = manifest["definition"] ?? .null
        warnings = (manifest["warnings"]?.elements ?? []).compactMap(\.textValue)
        func count(_ key: String) -> Int { manifest["counts"]?[key]?.integerValue ?? 0 }
        counts.read = count("read")
        counts.kept = count("kept")
        counts.dropped = count("dropped")
        counts.quarantined = count("quarantined")
        counts.blank = count("blank_lines")
        malformed = Self.counts(manifest["quarantine"])
        let reports = manifest["stages"]?.elements ?? []
        stages = reports.map {
            StageFlow(
                stage: $0["stage"]?.textValue ?? "", entering: $0["in"]?.integerValue ?? 0,
                leaving: $0["out"]?.integerValue ?? 0, dropped: Self.counts($0["dropped"]))
        }
        time = RunTime(manifest["timing"] ?? .null)
        if time.phases.isEmpty {
            missing.append(
                .init(
                    figure: .phases,
                    sentence: "The run did not time its phases: it was done in tasks, or by an earlier version."))
        }
        let options = Self.options(manifest)
        certificates = reports.compactMap { report in
            StageCertificate(report, options: options[report["stage"]?.textValue ?? ""] ?? .null)
        }
        if certificates.isEmpty {
            missing.append(
                .init(figure: .certificate, sentence: "No stage of the run selects by distance, such as `coreset`."))
        }
    }

    /// The reasons with records, the most frequent first.
    private static func counts(_ report: JSONValue?) -> [Count] {
        let all = (report?.entries ?? []).map { Count(name: $0.key, count: $0.value.integerValue ?? 0) }
        return all.filter { $0.count > 0 }.sorted { ($1.count, $0.name) < ($0.count, $1.name) }
    }

    /// The options of each stage, by its name in the report.
    private static func options(_ manifest: JSONValue) -> [String: JSONValue] {
        var seen: [String: Int] = [:]
        var options: [String: JSONValue] = [:]
        for entry in (manifest["definition"]?["stages"]?.elements ?? []).flatMap(\.entries) {
            let number = seen[entry.key, default: 0] + 1
            seen[entry.key] = number
            options[number == 1 ? entry.key : "\(entry.key)#\(number)"] = entry.value
        }
        return options
    }
}

extension RunReport.RunTime {
    fileprivate init(_ timing: JSONValue) {
        seconds = timing["seconds"]?.realValue ?? 0
        threads = timing["threads"]?.integerValue ?? 0
        budget = timing["memory_budget"]?.integerValue ?? 0
        peak = timing["memory_peak"]?.integerValue ?? 0
        phases = (timing["phases"]?.elements ?? []).map {
            Phase(
                name: $0["phase"]?.textValue ?? "", seconds: $0["seconds"]?.realValue ?? 0,
                leased: $0["memory_leased"]?.integerValue ?? 0)
        }
    }
}

extension RunReport.StageCertificate {
    /// The groups that are listed: those with the most records.
    private static let mostGroups = 40

    private static let names: [(key: String, name: String)] = [
        ("radius", "radius"), ("lower_bound", "lower bound"), ("factor", "factor"),
        ("share_of_best_at_least", "share of the best at least"),
        ("largest_radius_of_a_group", "largest radius of a group"), ("largest_factor_of_a_group", "largest factor"),
        ("mean_distance", "mean distance"), ("mean_distance_within_groups", "mean distance within groups"),
        ("median_distance", "median distance"), ("distance_90", "90 % within"), ("distance_99", "99 % within"),
    ]

    /// Nil if the stage reports no radius.
    init?(_ report: JSONValue, options: JSONValue) {
        guard report["radius"] != nil || report["largest_radius_of_a_group"] != nil else { return nil }
        stage = report["stage"]?.textValue ?? ""
        method = report["method"]?.textValue ?? ""
        let all = report["per_group"]?.elements ?? []
        per = all.isEmpty ? nil : options["per"]?.textValue
        figures = Self.names.compactMap { key, name in
            report[key]?.realValue.map { Figure(name: name, value: $0) }
        }
        let sorted = all.enumerated().sorted {
            let (a, b) = ($0.element["records"]?.integerValue ?? 0, $1.element["records"]?.integerValue ?? 0)
            return (b, $0.offset) < (a, $1.offset)
        }.map(\.element)
        groups = sorted.prefix(Self.mostGroups).map { group in
            Group(
                key: group["key"] ?? .null, records: group["records"]?.integerValue ?? 0,
                kept: group["kept"]?.integerValue ?? 0, radius: group["radius"]?.realValue,
                bound: group["lower_bound"]?.realValue, factor: group["factor"]?.realValue,
                mean: group["mean_distance"]?.realValue, within90: group["distance_90"]?.realValue)
        }
        more = all.count - groups.count + (report["groups_not_listed"]?.integerValue ?? 0)
    }
}
