import SluiceCore

/// What the longest record takes in each pass over the kept columns, where it is worked on alone.
///
/// A run leases what its longest record really takes. Whether there is room for the longest one that `max_record` lets in
/// follows from the definition, so that no run is refused halfway. What a survey leaves is an exception: it is not known yet
/// whether that writes columns of bytes.
struct LongRows {
    /// The longest record that is read, in bytes.
    private let longest: Int
    /// A piece of work that writes columns of bytes, and how many times the record they hold at most.
    private struct Writer: Hashable {
        let place: Int
        let copies: Int
    }
    /// Columns of bytes that are there when the pass begins.
    private var stored: [ColumnName: Writer] = [:]
    /// Columns that the pass writes.
    private var fresh: [ColumnName: Writer] = [:]
    /// What the pass reads.
    private var inputs: [Input] = []
    /// Bytes that it writes for each one that it reads.
    private var growth = 0
    private var isFirstPass = true
    private var hasTransforms = false
    private var place = 0

    /// What a record's text grows by beside its own bytes, such as the words of a template.
    private static let slack = 64 << 10

    init(longest: Int) { self.longest = longest }

    /// Bytes that the longest record takes in the pass up to this piece of work; 0 where no record is worked on alone.
    ///
    /// Ask for all pieces, one after the other.
    mutating func add(_ piece: StageWork, growth: Int) -> Int {
        place += 1
        let reads = piece.link.reads
        switch piece.body {
        case .transform, .asking:
            if case .asking = piece.body { begin() }
            let written = Writer(
                place: place, copies: growth * max(1, copies(of: reads, in: stored.merging(fresh) { $1 })))
            for spec in piece.writes where spec.type == .bytes {
                // Records that pass by keep what was written before.
                let before = piece.link.gate == nil ? nil : fresh[spec.name] ?? stored[spec.name]
                fresh[spec.name] = before.map { $0.copies > written.copies ? $0 : written } ?? written
            }
            if isFirstPass { return 0 }
            inputs += reads
            self.growth += growth
            hasTransforms = true
            return bytes
        case .survey:
            begin()
            inputs += reads
            let result = bytes
            end()
            // What it leaves goes over the rows in the next pass.
            inputs = reads
            hasTransforms = true
            return result
        case .selection:
            begin()
            inputs += reads
            let result = hasTransforms ? bytes : 0
            end()
            return result
        case .sequence: return 0
        }
    }

    /// What was written while the input was read is there for the first pass over columns.
    private mutating func begin() {
        guard isFirstPass else { return }
        isFirstPass = false
        end()
    }

    private mutating func end() {
        stored.merge(fresh) { $1 }
        (fresh, inputs, growth, hasTransforms) = ([:], [], 0, false)
    }

    private var bytes: Int {
        let read = longest * copies(of: inputs, in: stored)
        return read > 0 ? RowBatches.alone(read: read + Self.slack, growth: growth) : 0
    }

    /// How many times the bytes of a record are read.
    private func copies(of inputs: [Input], in columns: [ColumnName: Writer]) -> Int {
        var writers: Set<Writer> = []
        var fields: [FieldPath] = []
        for input in inputs {
            switch input {
            case .column(let name, _): if let writer = columns[name] { writers.insert(writer) }
            case .field(let path): if !fields.contains(path) { fields.append(path) }
            case .record, .label: break
            }
        }
        return RecordCopies.copies(of: fields) + (inputs.contains(.record) ? 1 : 0)
            + writers.reduce(0) { $0 + $1.copies }
    }
}
