extension ColumnContract {
    /// Checks what the body of a stage asks for and writes against the stage's declaration.
    ///
    /// - Parameter isWhole: whether this is the whole body of the stage, not the body that one of its surveys returned.
    package static func breaches(
        of body: StageBody, by stage: any Stage, called label: String, isWhole: Bool = true
    ) -> [Breach] {
        var check = BodyCheck(stage: stage, label: label)
        for selection in body.selections { check.inputs(of: selection) }
        check.outputs(of: body, isWhole: isWhole)
        return check.breaches
    }
}

/// The breaches of one body, as they are found.
private struct BodyCheck {
    let stage: any Stage
    let label: String
    private(set) var breaches: [ColumnContract.Breach] = []

    init(stage: any Stage, label: String) {
        self.stage = stage
        self.label = label
    }

    private mutating func report(_ rule: ColumnContract.Breach.Rule, _ message: String) {
        let breach = ColumnContract.Breach(rule: rule, message: message)
        if !breaches.contains(breach) { breaches.append(breach) }
    }

    /// The types that the column may have; nil if the stage does not declare it.
    private func kind(of name: ColumnName) -> ColumnKind? {
        let own = stage.writes.filter { $0.name == name }.map { ColumnKind($0.type) }
        // With several entries for one column, all of them apply.
        var read: ColumnKind?
        for case .column(name, let kind) in stage.reads { read = read?.intersection(kind) ?? kind }
        guard read != nil || !own.isEmpty else { return nil }
        return own.reduce(read ?? []) { $0.union($1) }
    }

    private mutating func check(_ name: ColumnName, _ taken: ColumnKind, _ use: String) {
        guard let kind = kind(of: name) else {
            return report(
                .reads,
                "the selection of \(label) \(use) the column `\(name)`, which the stage does not declare in `reads`"
            )
        }
        guard !taken.isSuperset(of: kind) else { return }
        report(
            .reads,
            "the selection of \(label) \(use) the column `\(name)`, which may hold \(kind.subtracting(taken).words) by its `reads`; it must hold \(taken.words)"
        )
    }

    mutating func inputs(of selection: any Selection) {
        for name in selection.columns { check(name, [.vector, .number], "asks for") }
        switch selection.grouping {
        case .all: break
        case .by(let name): check(name, [.integer, .bytes], "groups by")
        case .label(let name):
            guard !stage.reads.contains(.label(name)) else { break }
            report(
                .reads,
                "the selection of \(label) groups by the label `\(name)`, which the stage does not declare in `reads`")
        }
        if let name = selection.weights { check(name, .integer, "weighs groups by") }
    }

    mutating func outputs(of body: StageBody, isWhole: Bool) {
        let outcome = body.selections.flatMap(\.outcomeColumns)
        for spec in outcome {
            let what = "the selection of \(label) writes `\(spec.name)` as \(spec.type.words)"
            if !stage.writes.contains(spec) {
                report(.writes, "\(what), which the stage does not declare in `writes`")
            } else if spec.name == .rank || !ColumnKind.number.accepts(spec.type) {
                report(.writes, "\(what); its columns besides `rank` hold integers or reals")
            }
        }
        if isWhole, body.isSelectionAlone {
            for spec in stage.writes where spec.name != .rank && !outcome.contains(spec) {
                report(
                    .writes,
                    "\(label) declares that it writes `\(spec.name)`, and its selection writes only `rank` and its `outcomeColumns`"
                )
            }
        }
        for spec in stage.writes where spec.name == .rank && !body.selections.isEmpty && spec.type != .integer {
            report(.writes, "\(label) declares `rank` as \(spec.type.words), and a selection writes it as integers")
        }
    }
}

extension StageBody {
    /// The selections in the body.
    fileprivate var selections: [any Selection] {
        switch self {
        case .selection(let selection): [selection]
        case .sequence(let bodies): bodies.flatMap(\.selections)
        case .transform, .asking, .survey: []
        }
    }

    /// Whether the body consists of selections only.
    fileprivate var isSelectionAlone: Bool {
        switch self {
        case .selection: true
        case .sequence(let bodies): bodies.allSatisfy(\.isSelectionAlone) && !bodies.isEmpty
        case .transform, .asking, .survey: false
        }
    }
}
