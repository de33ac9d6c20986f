import SluiceCore
import SluiceTesting
import Synchronization
import Testing

/// Breaks the promise named by the option `fault`. Without the option it is a correct transform: it drops short texts
/// and writes the length of the others.
struct Lengths: Stage, Transform {
    static let descriptor = Descriptor(
        name: "lengths", summary: "Writes how long the prompt is.",
        options: [OptionSpec("fault", .text, default: "", help: "What to do wrong.")])

    /// State that outlives a call, which a correct stage doesn't have.
    final class Memory: Sendable {
        let calls = Atomic<Int>(0)
    }

    let fault: String
    let memory = Memory()

    init(options: OptionValues) throws(StageError) { fault = try options.text("fault") }

    var reads: [Input] {
        let kind: ColumnKind? =
            switch fault {
            case "changes what it reads": .integer
            case "reads another type": [.bytes, .real]
            default: nil
            }
        return [.field("prompt")] + (kind.map { [.column("label", $0)] } ?? [])
    }
    var writes: [ColumnSpec] {
        let length = ColumnSpec("length", fault == "another type" ? .real : .integer)
        switch fault {
        case "writes nothing": return [length, ColumnSpec("missing", .integer)]
        case "another dimension": return [length, ColumnSpec("vector", .vector(dimension: 4))]
        case "a path for a name": return [length, ColumnSpec("../x", .integer)]
        case "a name of the engine": return [length, ColumnSpec("_row", .integer)]
        case "a key of picks": return [length, ColumnSpec("file", .integer)]
        case "a column twice": return [length, length]
        case "another type than a column before it": return [length, ColumnSpec("label", .real)]
        default: return [length]
        }
    }

    func apply(to block: inout Block) throws(StageError) {
        let prompts = block.field("prompt")
        var lengths = [Int64](repeating: 0, count: block.count)
        for record in block.live {
            guard let prompt = prompts[record].string else {
                block.drop(record, reason: "missing-prompt")
                continue
            }
            lengths[record] = Int64(prompt.count)
            if prompt.count < 6 {
                block.drop(record, reason: "too-short", measures: [Measure("length", .integer(prompt.count))])
            }
        }
        let call = memory.calls.wrappingAdd(1, ordering: .relaxed).oldValue
        switch fault {
        case "keeps state": lengths = lengths.map { $0 + Int64(call) }
        case "draws at random": lengths = lengths.map { _ in Int64.random(in: 0...(.max)) }
        case "looks at the block": lengths = lengths.map { $0 + Int64(block.count) }
        case "first of a block": if block.count > 0 { block.drop(0, reason: "first") }
        case "reads another field":
            for record in block.live where block.field("label")[record].string != nil { lengths[record] += 1 }
        case "reads the line": if let lines = block.lines { lengths = (0..<block.count).map { Int64(lines[$0].count) } }
        case "reads a column": if block["label"] != nil { lengths = lengths.map { $0 + 1 } }
        case "asks for a column that is not there": if block["nowhere"] != nil { lengths = [] }
        case "asks for a field that is not there":
            for record in block.live where block.field("nowhere")[record] != .missing { lengths[record] = 0 }
        case "needs a column": lengths = try block.integers("label")
        case "writes something else": block.write("other", .integers(lengths))
        case "changes what it reads": block.write("label", .integers(lengths))
        case "another dimension":
            block.write(
                "vector", .vectors(VectorColumn(dimension: 3, values: Array(repeating: 1, count: 3 * block.count))))
        case "too few rows": if block.count > 0 { lengths.removeLast() }
        case "no reason": for record in block.live.prefix(1) { block.drop(record, reason: "") }
        case "a sentence for a reason": for record in block.live.prefix(1) { block.drop(record, reason: "Too short!") }
        case "a measure that is no number":
            for record in block.live.prefix(1) {
                block.drop(record, reason: "odd", measures: [Measure("x", .real(.nan))])
            }
        case "a measure that is a key":
            for record in block.live.prefix(1) { block.drop(record, reason: "odd", measures: [Measure("line", 1)]) }
        case "looks at the line number": lengths = block.ordinals.map { Int64($0.line) }
        case "fails on nothing": if block.count == 0 { throw StageError(.invalidData, "no records") }
        case "fails": throw StageError(.invalidData, "never works")
        default: break
        }
        block.write("length", .integers(lengths))
    }
}

/// Computes the sum and the maximum of all prompts' lengths, and drops prompts longer than the mean.
struct AboveMean: Stage, Survey {
    static let descriptor = Descriptor(
        name: "above-mean", summary: "Drops prompts longer than the mean.",
        options: [OptionSpec("fault", .text, default: "", help: "What to do wrong.")])

    struct Summary: Sendable, ByteCodable {
        var count = 0
        var sum = 0
        var real = 0.0
        var last = 0
        var first: Int?
        var isForgetful = false

        init() {}

        func write(to bytes: inout ByteWriter) {
            bytes.write(isForgetful)
            bytes.write(count)
            bytes.write(isForgetful ? 0 : sum)
            bytes.write(real)
            bytes.write(last)
            bytes.write(first)
        }

        init(from bytes: inout ByteReader) throws(StageError) {
            isForgetful = try bytes.read()
            (count, sum, real) = (try bytes.read(), try bytes.read(), try bytes.read())
            (last, first) = (try bytes.read(), try bytes.read())
        }
    }

    let fault: String

    init(options: OptionValues) throws(StageError) { fault = try options.text("fault") }

    let reads: [Input] = [.field("prompt")]
    let writes: [ColumnSpec] = []

    func memory(_ context: StageContext) -> SurveyMemory {
        SurveyMemory(summary: fault == "declares nothing" ? 0 : MemoryLayout<Summary>.size, finish: 0)
    }

    func makeSummary() -> Summary {
        var summary = Summary()
        summary.isForgetful = fault == "forgets to write"
        return summary
    }

    func observe(_ block: borrowing Block, into summary: inout Summary) {
        let prompts = block.field("prompt")
        for record in fault == "counts the dead" ? Array(0..<block.count) : block.live {
            let length = prompts[record].string?.count ?? 0
            summary.count += 1
            summary.sum += length
            summary.real += 1 / Double(1 + length * length)
            summary.last = length
            summary.first = summary.first ?? length
        }
        if fault == "counts blocks" { summary.sum += 1 }
    }

    func merge(_ other: Summary, into summary: inout Summary) {
        if fault == "forgets to merge" { return }
        summary.count += other.count
        summary.sum += other.sum
        summary.real += other.real
        if other.count > 0 { summary.last = other.last }
        summary.first = summary.first ?? other.first
        if fault == "counts merges" { summary.sum += 100 }
    }

    func finish(_ summary: Summary, _ context: StageContext) throws(StageError) -> SurveyResult<Int> {
        if fault == "needs a record", summary.count == 0 { throw StageError(.invalidData, "no records") }
        var mean = summary.count == 0 ? 0 : summary.sum / summary.count
        var report: JSONValue = ["mean": .integer(mean)]
        switch fault {
        case "last one wins": mean = summary.last
        case "first one wins": mean = summary.first ?? 0
        case "sums reals": report = ["sum": .real(summary.real)]
        case "counts threads": report = ["threads": .integer(context.parallel.width)]
        case "bends to memory": report = ["memory": .integer(context.memory)]
        default: break
        }
        return SurveyResult(mean, report: report)
    }

    func makeBody(_ outcome: Int, _ context: StageContext) -> StageBody {
        .transform(Cut(least: outcome))
    }

    struct Cut: Transform {
        let least: Int

        func apply(to block: inout Block) {
            let prompts = block.field("prompt")
            for record in block.live where prompts[record].string?.count ?? 0 > least {
                block.drop(record, reason: "above-mean", measures: [Measure("mean", .integer(least))])
            }
        }
    }
}

/// Keeps the records of each label whose vectors have the largest first component.
struct Best: Stage, Selection {
    static let descriptor = Descriptor(
        name: "best", summary: "Keeps the best of each label.",
        options: [
            OptionSpec("keep", .quantity, default: "50%", help: "How many."),
            OptionSpec("fault", .text, default: "", help: "What to do wrong."),
        ])

    let keep: Quantity
    let fault: String

    init(options: OptionValues) throws(StageError) {
        keep = try options.quantity("keep")
        fault = try options.text("fault")
    }

    var reads: [Input] {
        switch fault {
        case "declares too little": [.column("label", .integer)]
        case "groups by any number": [.column("label", .number), .column("embedding", .vector)]
        case "chooses by anything": [.column("label", .integer), .column("embedding", .any)]
        default: [.column("label", .integer), .column("embedding", .vector)]
        }
    }
    var writes: [ColumnSpec] {
        switch fault {
        case "a rank of reals": [ColumnSpec(.rank, .real)]
        case "writes more than ranks": [ColumnSpec(.rank, .integer), ColumnSpec("top_rank", .integer)]
        default: [ColumnSpec(.rank, .integer)]
        }
    }
    let grouping = Grouping.by("label")
    var columns: [ColumnName] { ["embedding"] }

    func quotas(for groups: Groups) -> [Int] {
        let sizes = groups.sizes
        return switch fault {
        case "quota beyond the size": sizes.map { $0 + 1 }
        case "one quota too few": sizes.dropLast()
        default: sizes.map { min($0, keep.resolve(of: $0)) }
        }
    }

    func memory(rows: Int, _ context: StageContext) -> Int {
        fault == "needs less for more" && rows > 50 ? 1 : 16 * rows
    }

    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        if fault == "asks for a column that it does not name" { _ = try? group.integers("label") }
        let vectors = try group.vectors("embedding")
        var scores: [Int] = []
        if fault == "needs resident vectors" {
            guard let resident = vectors.resident else { throw StageError(.fault, "not resident") }
            scores = (0..<group.count).map { Int(resident[$0 * vectors.dimension]) }
        } else {
            try vectors.forEachChunk { (rows, values) throws(StageError) in
                for row in 0..<rows.count { scores.append(Int(values[row * vectors.dimension])) }
            }
        }
        if fault == "fails on nothing", group.count == 0 { throw StageError(.invalidData, "no records") }
        let order = (0..<group.count).sorted { (-scores[$0], $0) < (-scores[$1], $1) }
        var ranks = [Int32](repeating: -1, count: group.count)
        for (rank, row) in order.prefix(quota).enumerated() { ranks[row] = Int32(rank) }
        let first = order.first.map { Int32($0) } ?? -1
        var partners = ranks.map { $0 >= 0 ? -1 : quota == 0 ? -1 : first }
        var measures = scores.map { Double($0) }
        var reason: Reason = "not-best"
        if let first = order.first, let last = order.last, ranks[last] < 0 {
            switch fault {
            case "ranks from one": ranks = ranks.map { $0 < 0 ? -1 : $0 + 1 }
            case "two first ranks": ranks = ranks.map { min($0, 0) }
            case "too many": ranks[last] = Int32(quota)
            case "too few": ranks = ranks.map { Int($0) == quota - 1 ? -1 : $0 }
            case "too few rows": ranks.removeLast()
            case "a dropped partner": partners[last] = Int32(last)
            case "a partner outside": partners[last] = Int32(group.count)
            case "a partner for a kept one": partners[first] = Int32(first)
            case "an infinite measure": measures[last] = .infinity
            case "a measure too few": measures.removeLast()
            case "no reason": reason = ""
            default: break
            }
        }
        let measure = fault == "a measure that is a key" ? "kept" : "score"
        return GroupOutcome(ranks: ranks, partners: partners, reason: reason, measures: [(measure, measures)])
    }

    func report(_ groups: GroupReports) -> JSONValue {
        switch fault {
        case "a report with a key of the engine": ["groups": .integer(groups.count), "in": 1]
        case "a report with a key twice": ["groups": .integer(groups.count), "groups": 1]
        case "a report that is a list": [1]
        default: ["groups": .integer(groups.count)]
        }
    }
}

/// A survey, the transform that it becomes, and a selection on a column of its own.
struct Chain: Stage {
    static let descriptor = Descriptor(name: "chain", summary: "Three bodies.")

    init(options: OptionValues) throws(StageError) {}

    let reads: [Input] = [.field("prompt"), .column("embedding", .vector)]
    let writes = [ColumnSpec("label", .integer), ColumnSpec(.rank, .integer)]

    func body(_ context: StageContext) throws(StageError) -> StageBody {
        let mean = try AboveMean(options: ["fault": ""])
        return .sequence([
            .survey(mean), .transform(Halves()), .selection(try Best(options: ["keep": 3, "fault": ""])),
        ])
    }

    struct Halves: Transform {
        func apply(to block: inout Block) { block.write("label", .integers(block.hashes.map { Int64($0.low % 2) })) }
    }
}

struct BadlyDescribed: Stage, Transform {
    static let descriptor = Descriptor(
        name: "Badly Described", summary: "",
        options: [
            OptionSpec("keep", .quantity, default: "5 percent", help: ""),
            OptionSpec("size", .integer(1...9), isRequired: true, help: "h", example: "10"),
            OptionSpec("size", .integer(1...9), default: 3, isRequired: true, help: "h"),
        ])
    let reads: [Input] = []
    let writes: [ColumnSpec] = []
    init(options: OptionValues) throws(StageError) {}
    func apply(to block: inout Block) {}
}
