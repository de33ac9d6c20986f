public import SluiceCore

/// `coreset` in a definition written in Swift.
public struct Coreset: StageSpecConvertible {
    public let stageSpec: StageSpec

    public init(
        keep: Quantity, per: String? = nil, quota: [String: OptionValue]? = nil, method: String? = nil,
        shares: String? = nil, floor: Int? = nil, cap: Quantity? = nil, strict: Bool? = nil, unit: String? = nil,
        trim: Quantity? = nil, rounds: String? = nil, part: Int? = nil, already: String? = nil, reservoir: Int? = nil,
        score: String? = nil, scoreField: String? = nil, distance: Double? = nil, certificate: String? = nil,
        vectors: String? = nil, swaps: Int? = nil
    ) {
        var options = OptionValues()
        options["keep"] = .quantity(keep)
        options["per"] = per.map { .text($0) }
        options["quota"] = quota.map { .map($0) }
        options["method"] = method.map { .text($0) }
        options["shares"] = shares.map { .text($0) }
        options["floor"] = floor.map { .integer($0) }
        options["cap"] = cap.map { .quantity($0) }
        options["strict"] = strict.map { .flag($0) }
        options["unit"] = unit.map { .text($0) }
        options["trim"] = trim.map { .quantity($0) }
        options["rounds"] = rounds.map { .text($0) }
        options["part"] = part.map { .integer($0) }
        options["already"] = already.map { .text($0) }
        options["reservoir"] = reservoir.map { .integer($0) }
        options["score"] = score.map { .text($0) }
        options["score_field"] = scoreField.map { .text($0) }
        options["certificate"] = certificate.map { .text($0) }
        options["distance"] = distance.map { .real($0) }
        options["vectors"] = vectors.map { .text($0) }
        options["swaps"] = swaps.map { .integer($0) }
        stageSpec = StageSpec("coreset", options)
    }
}
