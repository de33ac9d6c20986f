import SluiceCore

/// The work of a run in order, as far as it is known before anything is read.
///
/// The plan, the progress, the run in one process and the list of tasks all follow it. What a survey leads to is known once
/// it has learned; as far as rounds go, it is declared (`Survey.leadsTo`).
struct RunOutline: Sendable {
    /// All work.
    let pieces: [StageWork]
    /// The transforms that run while the input is read.
    let reading: [StageWork]
    /// The work after that, over kept columns.
    let later: [StageWork]
    let rounds: [Round]

    /// A run of transforms, and the survey or selection that ends it.
    struct Round: Sendable {
        /// From 1.
        let number: Int
        private(set) var pieces: [StageWork] = []
        /// The survey before it, whose result is part of its transforms.
        let survey: StageWork?
        /// What ends it.
        private(set) var last: FurtherWork?

        fileprivate init(number: Int, after survey: StageWork?, last: FurtherWork? = nil) {
            (self.number, self.survey, self.last) = (number, survey, last)
        }

        var hasTransforms: Bool { survey != nil || pieces.count > (last == nil ? 0 : 1) }

        fileprivate mutating func add(_ piece: StageWork) {
            pieces.append(piece)
            switch piece.body {
            case .survey: last = .survey
            case .selection: last = .selection
            case .transform, .asking, .sequence: break
            }
        }
    }

    /// What a run in one process does one after the other. A stopped run goes on with the step that it was in.
    enum Step: String, Sendable {
        /// Reads the input, checks it and drops duplicates; runs the transforms before the first survey or selection.
        case read
        /// Goes through the rounds over kept columns.
        case rounds
        /// Reads the input again, and writes kept records and ledger.
        case write
        /// Gives the outputs their final names.
        case finish
    }

    init(_ pieces: [StageWork]) {
        self.pieces = pieces
        let split = pieces.firstIndex { !$0.isTransform } ?? pieces.endIndex
        (reading, later) = (Array(pieces[..<split]), Array(pieces[split...]))
        var rounds: [Round] = []
        var open: Round?
        for piece in later {
            var round = open ?? Round(number: rounds.count + 1, after: nil)
            round.add(piece)
            open = round
            guard round.last != nil else { continue }
            rounds.append(round)
            open = nil
            guard case .survey(let survey) = piece.body else { continue }
            for further in survey.leadsTo {
                rounds.append(Round(number: rounds.count + 1, after: piece, last: further))
            }
            open = Round(number: rounds.count + 1, after: piece)
        }
        if let open { rounds.append(open) }
        self.rounds = rounds
    }

    var steps: [Step] { later.isEmpty ? [.read, .finish] : [.read, .rounds, .write, .finish] }

    /// The first stage whose work needs kept columns, by its index; nil if there is none.
    var firstKeeping: Int? { later.map(\.link.index).min() }

    // MARK: Numbers of phases

    static let reading = "reading"
    static let writing = "writing"
    static let outputs = "outputs"

    /// The number of a phase, the same in the plan, the progress bar and JSON progress: reading is 1, then each stage with a
    /// survey or selection or after one, then writing, then the outputs.
    ///
    /// - Parameter name: `reading` or a part of it, the label of a stage, `writing` or `outputs`.
    func number(of name: String) -> Int {
        var labels: [String] = []
        for piece in later where !labels.contains(piece.link.label) { labels.append(piece.link.label) }
        if let place = labels.firstIndex(of: name) { return place + 2 }
        return switch name {
        case Self.writing: labels.count + 2
        case Self.outputs: labels.count + (later.isEmpty ? 2 : 3)
        default: 1
        }
    }
}

extension RunOutline.Step: Comparable {
    private var place: Int {
        switch self {
        case .read: 0
        case .rounds: 1
        case .write: 2
        case .finish: 3
        }
    }

    static func < (a: RunOutline.Step, b: RunOutline.Step) -> Bool { a.place < b.place }
}
