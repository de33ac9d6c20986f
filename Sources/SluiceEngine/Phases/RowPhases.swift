import SluiceCore
import SluiceIO

/// All rounds over the kept columns of a run, one after another.
struct RowPhases {
    private let run: RunContext
    private let keeping: ReadPass.Keeping

    init(_ run: RunContext, _ keeping: ReadPass.Keeping) {
        self.run = run
        self.keeping = keeping
    }

    /// Does all of the work, and returns the rows that are still in.
    func process(_ findings: inout RunFindings) throws -> LiveRows {
        var rounds = Rounds(run, run.outline.later)
        var live = LiveRows(rows: keeping.store.rows)
        while let round = try rounds.next() {
            try keeping.ledger.begin("round-\(round.number)")
            let rows = RowRound.Rows(store: keeping.store, live: live, ledger: keeping.ledger)
            let work = try RowRound(round, of: run, rows)
            var result = RoundResult(reached: live.count)
            switch round.last?.body {
            case .survey(let survey)?:
                guard let link = round.last?.link else { break }
                let learned = try work.learn(survey, link)
                try rounds.add(learned, of: survey, link)
                result.learned = learned
                live = work.pass.remaining
            case .selection(let selection)?:
                guard let link = round.last?.link else { break }
                try work.transform()
                try keeping.ledger.begin("choice-\(round.number)")
                let chosen = try work.select(
                    selection, link, fieldNames: findings.fieldNames, scratch: "\(run.work)/groups")
                result.selection = chosen.findings(before: work.pass.remaining.count)
                live = chosen.live
            default:
                try work.transform()
                live = work.pass.remaining
            }
            result.account = work.pass.account
            try findings.add(result, of: round)
            findings.noteAnswers(of: round.transforms)
        }
        _ = try keeping.ledger.flush()
        return live
    }
}

/// What a round found out, for the manifest.
struct RoundResult {
    /// The records that reached the round.
    let reached: Int
    /// The counts of its transforms.
    var account = Account()
    var learned: Learned?
    var selection: SelectionFindings?

    init(reached: Int) { self.reached = reached }
}

/// What a selection found out, for the manifest.
struct SelectionFindings {
    let account: Account
    let report: JSONValue
    let warnings: [String]
    /// The records that reached it, and those that it kept.
    let before: Int
    let after: Int
}

extension SelectionPhase.Result {
    func findings(before: Int) -> SelectionFindings {
        SelectionFindings(
            account: account, report: report, warnings: warnings, before: before, after: live.count)
    }
}
