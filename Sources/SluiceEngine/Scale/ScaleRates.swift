public import SluiceCore

/// How long the work of tasks takes on one CPU, as measured with `Benchmarks/scale.py`.
///
/// The constants come from `Benchmarks/results/2026-11-22-scale.md`: examples/ltd.yaml with `embed: {model: lexical}` on 1,000,000
/// records of 299 stored bytes, one thread a process, AMD EPYC. They are CPU seconds, which a busy machine changes least. `lines`,
/// `contents`, `candidates` and `digest` are no part of that pipeline: they are set like passes that do similar work.
/// `ScaleMeasurement` replaces them by those of another machine or other stages.
public struct ScaleRates: Sendable, Hashable {
    /// Work that grows with the stored bytes of input, in seconds a byte.
    var perByte: [String: Double] = [
        "lines": 3.5e-9, "hash": 5.9e-9, "contents": 7.1e-9, "read": 34e-9, "write": 5.8e-9, "digest": 0.3e-9,
    ]
    /// Work that grows with records, in seconds a record.
    var perRecord: [String: Double] = [
        "candidates": 0.13e-6, "duplicates": 0.13e-6, "transform": 0.33e-6, "observe": 0.9e-6, "count": 0.07e-6,
        "gather": 1.1e-6, "select": 2.4e-6, "settle": 0.06e-6,
    ]
    /// A multiply-add of a selection; see `PlanNotes.multiplyAdds`.
    var multiplyAdd = 1.0 / 38e9
    /// `learn`, besides merging what it reads: the samples of surveys have a fixed size.
    var learn = 0.5
    /// Merging a byte of summaries.
    var mergedByte = 1.7e-9
    /// Joining a stored byte of outputs, in `finish`.
    var joinedByte = 12e-9
    /// What a task takes before its work: the process, the definition.
    var start = 0.007
    /// What a task takes for each input file: its name, size and time of change.
    var perFile = 12e-6
    /// What a task takes to open and check a file of another task: of each part, bucket or bundle.
    var perOpened = 10e-6
    /// What `finish` takes for each part besides its bytes.
    var perJoined = 1e-3

    public static let measured = ScaleRates()
}

/// What a run in one process took, from its `run.json`: rates of the machine and the stages of that run.
public struct ScaleMeasurement: Sendable, Hashable {
    /// Stored bytes of its input, and the records that it read.
    public let bytes: Int
    public let records: Int
    /// Seconds of all threads: of the first pass over the input, of the work over kept columns, of the last pass.
    public let reading: Double
    public let columns: Double
    public let writing: Double

    /// The records in an input of another size.
    func records(in stored: UInt64) -> Int { Int((Double(stored) * Double(records) / Double(bytes)).rounded()) }

    /// - Returns: nil if the manifest lacks the phases of a whole run, as after a stop.
    public init?(_ manifest: JSONValue) {
        let timing = manifest["timing"]
        let phases = timing?["phases"]?.elements ?? []
        let threads = Double(timing?["threads"]?.integerValue ?? 1)
        func seconds(_ isMeant: (String) -> Bool) -> Double {
            threads
                * phases.reduce(0) { sum, phase in
                    isMeant(phase["phase"]?.textValue ?? "") ? sum + (phase["seconds"]?.realValue ?? 0) : sum
                }
        }
        bytes = (manifest["inputs"]?.elements ?? []).reduce(0) { $0 + ($1["bytes"]?.integerValue ?? 0) }
        records = manifest["counts"]?["read"]?.integerValue ?? 0
        reading = seconds { $0 == RunOutline.reading }
        writing = seconds { $0 == RunOutline.writing }
        columns = seconds { ![RunOutline.reading, RunOutline.writing, RunOutline.outputs].contains($0) }
        guard bytes > 0, records > 0, reading > 0 else { return nil }
    }
}
