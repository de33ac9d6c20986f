import SluiceCore

/// The rules for the outputs of a definition.
struct SinkRules {
    /// What is wrong with one of them, as sentences.
    static func faults(of sink: SinkSpec, before earlier: ArraySlice<SinkSpec>) -> [String] {
        let name = "output `\(sink.name)`"
        var found: [String] = []
        if let fault = sink.nameFault { found.append("the name of \(name) \(fault)") }
        if earlier.contains(where: { $0.name == sink.name }) { found.append("\(name) is there twice") }
        for name in sink.names where name.isEmpty { found.append("\(name) reads a column or field without a name") }
        switch sink.shard {
        case .bytes(let count)?, .records(let count)?:
            if count < 1 { found.append("the files of \(name) must have a size of at least 1") }
        case nil: break
        }
        switch sink.ladder {
        case .steps(let from, let times)?:
            if from < 1 { found.append("the ladder of \(name) must begin with at least 1 record") }
            if times < 2 { found.append("the ladder of \(name) must grow at least twofold, not x\(times)") }
        case .sizes(let sizes)?:
            if sizes.contains(where: \.isZero) { found.append("the ladder of \(name) has a size of 0") }
            if sizes.count > mostRungs { found.append("the ladder of \(name) has more than \(mostRungs) sizes") }
        case nil: return found
        }
        if sink.per != nil {
            found.append("\(name) has a `ladder` and `per`; make an output for each label by `where`")
        }
        if sink.shard != nil {
            found.append("\(name) has a `ladder`, whose files can't be cut; remove `shard_size` or `shard_records`")
        }
        return found
    }

    /// The files of a ladder are open at the same time.
    private static let mostRungs = 64
}
