import SluiceCore

/// The phases of a plan, from the outline of the run.
extension Plan {
    static func phases(
        _ outline: RunOutline, _ definition: Definition, _ chain: StageChain, _ shares: MemoryShares
    ) throws -> [Phase] {
        var steps = ["read and check every line"]
        if let dedupe = definition.input.dedupe { steps.append(dedupe.planned) }
        for (index, piece) in outline.reading.enumerated() {
            // A gate before the rest of its stage needs no words.
            let isFollowed = outline.reading.dropFirst(index + 1).first?.link.index == piece.link.index
            guard !(piece.isGate && isFollowed) else { continue }
            steps.append(piece.isGate ? "`when` of `\(piece.link.label)`" : "`\(piece.link.label)`")
        }
        let isOnly = outline.later.isEmpty
        steps.append(isOnly ? "write kept records, ledger and quarantine" : "keep the columns that follow need")
        var phases = [
            Phase(
                number: 1, name: RunOutline.reading, what: steps.joined(separator: ", "),
                shares: shares.reading().map(Share.init))
        ]
        for round in outline.rounds {
            var next = RoundPhases(round, outline, chain, shares)
            phases += try next.phases()
        }
        if !isOnly {
            phases.append(
                Phase(
                    number: outline.number(of: RunOutline.writing), name: RunOutline.writing,
                    what: "read the input again, write kept records and ledger",
                    shares: shares.writing.map(Share.init)))
        }
        guard !definition.sinks.isEmpty else { return phases }
        return phases + [
            Phase(
                number: outline.number(of: RunOutline.outputs), name: RunOutline.outputs,
                what: "read the kept records, write \(definition.sinks.map { "`\($0.name)`" }.joined(separator: ", "))",
                shares: shares.sinking.map(Share.init))
        ]
    }
}

extension Plan.Share {
    init(_ part: MemoryShares.Part) { self.init(name: part.name, bytes: part.bytes) }
}

/// The phases of one round: its transforms, and its survey or selection.
private struct RoundPhases {
    private let round: RunOutline.Round
    private let outline: RunOutline
    private let chain: StageChain
    private let shares: MemoryShares
    /// What the survey before leaves.
    private let left: [MemoryShares.Part]
    /// Of the transforms so far.
    private var workers: [TransformMemory] = []
    private var requests = Requests()

    init(_ round: RunOutline.Round, _ outline: RunOutline, _ chain: StageChain, _ shares: MemoryShares) {
        (self.round, self.outline, self.chain, self.shares) = (round, outline, chain, shares)
        guard let before = round.survey, case .survey(let survey) = before.body else {
            left = MemoryShares.left(0)
            return
        }
        left = MemoryShares.left(survey.memory(chain.context(before.link, memory: shares.most)).leaves)
    }

    mutating func phases() throws -> [Plan.Phase] {
        var phases: [Plan.Phase] = []
        for (index, piece) in round.pieces.enumerated() {
            guard let (found, parts) = try phase(piece, chain.context(piece.link, memory: shares.most)) else {
                continue
            }
            var what = found
            if piece.isGate {
                // It goes along with the pass of the next piece, unless that is a selection.
                guard case .selection? = round.pieces.dropFirst(index + 1).first?.body else { continue }
                what = "read the kept columns once, for `when`"
            }
            let name = piece.link.label
            phases.append(
                Plan.Phase(
                    number: outline.number(of: name), name: name, what: what, shares: parts.map(Plan.Share.init)))
        }
        return phases
    }

    private mutating func phase(
        _ piece: StageWork, _ context: StageContext
    ) throws -> (what: String, parts: [MemoryShares.Part])? {
        let name = piece.link.label
        switch piece.body {
        case .survey(let survey):
            let share = try shares.survey(name, survey.memory(context), beside: beside(piece), requests)
            return ("read the kept columns once to learn from them, then once more to apply that", share.parts)
        case .selection(let selection):
            let part = try shares.selection(
                name, SelectionMemory.bytes(of: selection, rows: 1, context), beside: left)
            return ("gather each group's columns, choose in each group", [part] + left + shares.choosing)
        case .transform(let transform):
            workers.append(transform.memory(context))
            return ("read the kept columns once", try shares.rows(name, beside: beside(piece), requests).parts)
        case .asking(let asking):
            requests.add(Requests(asking, context))
            return (
                "read the kept columns once, ask what the answer log does not have",
                try shares.rows(name, beside: beside(piece), requests).parts
            )
        case .sequence: return nil
        }
    }

    private func beside(_ piece: StageWork) -> [MemoryShares.Part] {
        shares.workers(workers) + left + MemoryShares.longestRow(piece.longestRow)
    }
}
