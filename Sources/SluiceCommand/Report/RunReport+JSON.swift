import SluiceCore

extension RunReport {
    var json: JSONValue {
        [
            "run": .text(name), "definition": definition, "pool": .text(pool),
            "warnings": .list(warnings.map { .text($0) }),
            "missing": .list(missing.map { ["figure": .text($0.figure.rawValue), "why": .text($0.sentence)] }),
            "counts": [
                "read": .integer(counts.read), "kept": .integer(counts.kept), "dropped": .integer(counts.dropped),
                "quarantined": .integer(counts.quarantined), "blank_lines": .integer(counts.blank),
            ],
            "stages": .list(
                stages.map {
                    [
                        "stage": .text($0.stage), "in": .integer($0.entering), "out": .integer($0.leaving),
                        "dropped": Self.counts($0.dropped),
                    ]
                }),
            "malformed": Self.counts(malformed), "time": time.json, "files": .list(files.map(\.json)),
            "labels": labels?.json ?? .null, "certificates": .list(certificates.map(\.json)),
            "distances": .list(
                distances.map {
                    [
                        "stage": .text($0.stage), "step": .real(Distances.step),
                        "records": .list($0.bins.map { .integer($0) }),
                    ]
                }),
            "curve": .list(
                curve.map { ["kept": .integer($0.kept), "radius": .real($0.radius), "mean_distance": .real($0.mean)] }),
            "map": map?.json ?? .null,
            "pairs": .list(
                pairs.map {
                    [
                        "stage": .text($0.stage), "reason": .text($0.reason), "distance": Self.real($0.distance),
                        "dropped": $0.lost.json, "kept": $0.kept.json,
                    ]
                }),
            "samples": .list(
                samples.map {
                    [
                        "stage": $0.stage.map { .text($0) } ?? .null, "reason": $0.reason.map { .text($0) } ?? .null,
                        "count": .integer($0.count), "records": .list($0.records.map(\.json)),
                    ]
                }),
            "malformed_lines": .list(
                malformedLines.map {
                    ["place": .text($0.place), "error": .text($0.error), "text": .text($0.text)]
                }),
        ]
    }

    private static func counts(_ counts: [Count]) -> JSONValue {
        .object(counts.map { .init($0.name, .integer($0.count)) })
    }

    fileprivate static func real(_ value: Double?) -> JSONValue { value.map { .real($0) } ?? .null }
}

extension RunReport.RunTime {
    fileprivate var json: JSONValue {
        [
            "seconds": .real(seconds), "threads": .integer(threads), "memory_budget": .integer(budget),
            "memory_peak": .integer(peak),
            "phases": .list(
                phases.map {
                    [
                        "phase": .text($0.name), "seconds": .real($0.seconds), "memory_leased": .integer($0.leased),
                    ]
                }),
        ]
    }
}

extension RunReport.Tally {
    fileprivate var json: JSONValue { ["name": .text(name), "read": .integer(read), "kept": .integer(kept)] }
}

extension RunReport.LabelTable {
    fileprivate var json: JSONValue {
        [
            "field": .text(field), "values": .integer(values), "values_kept": .integer(reached),
            "listed": .list(listed.map(\.json)), "lost": .list(lost.map(\.json)),
        ]
    }
}

extension RunReport.StageCertificate {
    fileprivate var json: JSONValue {
        [
            "stage": .text(stage), "method": .text(method), "per": per.map { .text($0) } ?? .null,
            "figures": .object(figures.map { .init($0.name, .real($0.value)) }),
            "groups": .list(groups.map(\.json)), "groups_not_listed": .integer(more),
        ]
    }
}

extension RunReport.StageCertificate.Group {
    fileprivate var json: JSONValue {
        [
            "key": key, "records": .integer(records), "kept": .integer(kept), "radius": RunReport.real(radius),
            "lower_bound": RunReport.real(bound), "factor": RunReport.real(factor),
            "mean_distance": RunReport.real(mean), "distance_90": RunReport.real(within90),
            "words": .list(words.map { .text($0) }),
        ]
    }
}

extension RunReport.VectorMap {
    fileprivate var json: JSONValue {
        [
            "variance_share": .real(share), "pool_sample": .integer(sampled),
            "points": .list(points.map { [.integer($0.x), .integer($0.y), .flag($0.isKept)] }),
            "regions": .list(
                regions.map {
                    [
                        "x": .integer($0.x), "y": .integer($0.y), "words": .list($0.words.map { .text($0) }),
                        "share_of_pool": .real($0.pool), "share_of_kept": .real($0.kept),
                    ]
                }),
        ]
    }
}

extension RunReport.ShownRecord {
    fileprivate var json: JSONValue {
        ["place": .text(place), "fields": .object(fields.map { .init($0.name, .text($0.text)) })]
    }
}
