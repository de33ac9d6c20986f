/// One task of a run: it reads files, writes files, and is done when its outputs stand complete under their final names.
///
/// Tasks whose inputs exist may run in any order, at the same time, in several processes and on several machines that
/// share the run directory. A task may be killed at any instant and done again, and two processes may do the same task:
/// none of this changes a byte of the result.
public struct RunTask: Sendable, Hashable {
    /// What it is called on the command line, such as `read.3`.
    public let id: String
    /// The phase that it belongs to, such as `read`. All tasks of a phase are independent of each other.
    public let phase: String
    package let kind: Kind
    /// The files that it reads, besides the plan: relative to the run directory, or input files by their names.
    /// `work/tasks/hash.*` are the files of all tasks of the phase `hash`.
    public let inputs: [String]
    /// What must be done before it starts.
    package let needs: [Need]
    /// The files that say that it is done, relative to the run directory.
    public let outputs: [String]
    /// What it takes of the budget of its process, before it reads anything.
    public let leases: [Lease]
    /// Threads that it can use.
    public let threads: Int
    /// The stored bytes of input that it reads; an estimate of its cost.
    public let bytes: Int

    /// A part of the budget.
    public struct Lease: Sendable, Hashable {
        /// What it is for.
        public let name: String
        /// Its size in bytes.
        public let bytes: Int
    }

    /// The memory that it takes, in bytes.
    public var memory: Int { leases.reduce(0) { $0 + $1.bytes } }

    /// What must be done before a task starts.
    package enum Need: Sendable, Hashable {
        case task(Kind)
        /// All tasks of the phase of this name.
        case phase(String)
    }

    /// What a task does.
    package enum Kind: Sendable, Hashable {
        /// Counts the lines of a part that is a range of a file.
        case lines(part: Int)
        /// Says at which line of its file each part begins, for parts that are ranges of files.
        case borders
        /// Takes the digest of an input file that is read in ranges.
        case digest(file: Int)
        /// Hashes the records of a part, for the dedupe.
        case hash(part: Int)
        /// Finds the records of a bucket that share a hash, for `verify: bytes`.
        case candidates(bucket: Int)
        /// Writes the contents of a part's candidates.
        case contents(part: Int)
        /// Finds the duplicates of a bucket.
        case duplicates(bucket: Int)
        /// Reads a part: checks, dedupes, and runs the transforms before the first survey or selection.
        case read(part: Int)
        /// Adds up what the parts have read, and judges the input.
        case tally
        /// Runs the transforms of a round over the rows of a part.
        case transform(round: Int, part: Int)
        /// Lets the survey of a round see the rows of a part.
        case observe(round: Int, part: Int)
        /// Merges some summaries into one.
        case merge(round: Int, level: Int, index: Int)
        /// Lets the survey of a round learn from the summaries.
        case learn(round: Int)
        /// Counts the groups of a part's rows, for the selection of a round.
        case count(round: Int, part: Int)
        /// Says how many records each group keeps, and divides the groups among bundles.
        case divide(round: Int)
        /// Sorts the rows of a part by bundle.
        case gather(round: Int, part: Int)
        /// Chooses in the groups of a bundle.
        case select(round: Int, bundle: Int)
        /// Takes over what was decided about the rows of a part.
        case settle(round: Int, part: Int)
        /// Writes the kept records and the ledger of a part.
        case write(part: Int)
        /// Joins the outputs of the parts, and publishes the result.
        case finish
    }
}

extension RunTask.Kind {
    var phase: String {
        switch self {
        case .lines: "lines"
        case .borders: "borders"
        case .digest: "digest"
        case .hash: "hash"
        case .candidates: "candidates"
        case .contents: "contents"
        case .duplicates: "duplicates"
        case .read: "read"
        case .tally: "tally"
        case .transform(let round, _): "transform-\(round)"
        case .observe(let round, _): "observe-\(round)"
        case .merge(let round, let level, _): "merge-\(round)-\(level)"
        case .learn(let round): "learn-\(round)"
        case .count(let round, _): "count-\(round)"
        case .divide(let round): "divide-\(round)"
        case .gather(let round, _): "gather-\(round)"
        case .select(let round, _): "select-\(round)"
        case .settle(let round, _): "settle-\(round)"
        case .write: "write"
        case .finish: "finish"
        }
    }

    var id: String {
        switch self {
        case .lines(let number), .digest(let number), .hash(let number), .candidates(let number), .contents(let number),
            .duplicates(let number),
            .read(let number), .transform(_, let number), .observe(_, let number), .merge(_, _, let number),
            .count(_, let number), .gather(_, let number), .select(_, let number), .settle(_, let number),
            .write(let number):
            "\(phase).\(number)"
        case .borders, .tally, .learn, .divide, .finish: phase
        }
    }
}
