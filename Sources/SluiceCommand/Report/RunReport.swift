import SluiceCore

/// Everything that the page of `sluice report` shows; the page is made of this alone.
///
/// Deterministic but for `time`: samples are drawn by content.
struct Report: Sendable {
    var runs: [RunReport]

    /// Whether all runs chose from the same records with the same vectors, so that their distances can be compared.
    var samePool: Bool { Set(runs.map(\.pool)).count == 1 }

    /// How `json` begins as text.
    static let beginning = "{\n  \"report\": 1,"

    var json: JSONValue {
        ["report": 1, "same_pool_and_embedding": .flag(samePool), "runs": .list(runs.map(\.json))]
    }
}

/// The report of one run.
struct RunReport: Sendable {
    var name = ""
    var definition = JSONValue.null
    /// A digest of what the run chose from.
    var pool = ""
    var warnings: [String] = []
    /// Sentences about figures that the run has no data for, by figure.
    var missing: [Missing] = []
    var counts = Counts()
    var stages: [StageFlow] = []
    var malformed: [Count] = []
    var time = RunTime()
    var files: [Tally] = []
    var labels: LabelTable?
    var certificates: [StageCertificate] = []
    var distances: [Distances] = []
    var curve: [CurvePoint] = []
    var map: VectorMap?
    var pairs: [RecordPair] = []
    var samples: [RecordSample] = []
    var malformedLines: [MalformedSample] = []

    struct Counts: Sendable { var (read, kept, dropped, quarantined, blank) = (0, 0, 0, 0, 0) }

    struct Count: Sendable {
        let name: String
        let count: Int
    }

    enum Figure: String, Sendable { case labels, files, map, certificate, curve, distances, phases, pairs, samples }

    struct Missing: Sendable {
        let figure: Figure
        let sentence: String
    }

    /// The records that enter and leave a stage.
    struct StageFlow: Sendable {
        let stage: String
        let entering: Int
        let leaving: Int
        let dropped: [Count]
    }

    struct RunTime: Sendable {
        var seconds = 0.0
        var (threads, budget, peak) = (0, 0, 0)
        var phases: [Phase] = []

        struct Phase: Sendable {
            let name: String
            let seconds: Double
            /// Bytes of the budget that were lent.
            let leased: Int
        }
    }

    /// Records with something in common, before and after.
    struct Tally: Sendable {
        let name: String
        var read = 0
        var kept = 0
    }

    struct LabelTable: Sendable {
        let field: String
        /// The most frequent, by their records before.
        var listed: [Tally]
        /// Distinct values before, and among the kept records.
        var values = 0
        var reached = 0
        /// The most frequent of those that no kept record has.
        var lost: [Tally]
    }

    struct StageCertificate: Sendable {
        let stage: String
        var method = ""
        /// What a group is: `cluster`; nil if there is one group.
        var per: String?
        var figures: [Figure] = []
        var groups: [Group] = []
        /// Groups that are not listed.
        var more = 0

        struct Figure: Sendable {
            let name: String
            let value: Double
        }

        struct Group: Sendable {
            let key: JSONValue
            let (records, kept): (Int, Int)
            let (radius, bound, factor): (Double?, Double?, Double?)
            let (mean, within90): (Double?, Double?)
            var words: [String] = []
        }
    }

    /// How far the records that a stage dropped are from the kept record that each lost to.
    struct Distances: Sendable {
        let stage: String
        /// Records by distance, in steps of `Distances.step`, from 0 to 2.
        var bins: [Int]
        static let step = 0.05

        var count: Int { bins.reduce(0, +) }
    }

    struct CurvePoint: Sendable {
        let kept: Int
        let (radius, mean): (Double, Double)
    }

    /// Vectors in two dimensions, each coordinate 0 to 1,000.
    struct VectorMap: Sendable {
        var points: [Point]
        var regions: [Region]
        /// The part of the variance that the two components have.
        var share: Double
        /// The records of the pool that it was made of.
        var sampled: Int

        struct Point: Sendable {
            let (x, y): (Int, Int)
            let isKept: Bool
        }

        struct Region: Sendable {
            let (x, y): (Int, Int)
            let words: [String]
            /// Records of the sample, and how many of a sample of the kept records.
            let (pool, kept): (Double, Double)
        }
    }

    /// A record as the page shows it.
    struct ShownRecord: Sendable {
        let place: String
        let fields: [Field]

        struct Field: Sendable {
            let name: String
            let text: String
        }
    }

    struct RecordPair: Sendable {
        let (stage, reason): (String, String)
        let distance: Double?
        let (lost, kept): (ShownRecord, ShownRecord)
    }

    struct RecordSample: Sendable {
        /// Nil for kept records.
        let (stage, reason): (String?, String?)
        let count: Int
        let records: [ShownRecord]
    }

    struct MalformedSample: Sendable {
        let place: String
        let error: String
        let text: String
    }
}
