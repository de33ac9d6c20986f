import SluiceCore

/// Stages with the options and columns of the built-in ones and no work, so that these tests have no dependencies.
protocol InertStage: Stage, Transform {
    var options: OptionValues { get }
}

extension InertStage {
    func apply(to block: inout Block) throws(StageError) {}
}

struct InertFormat: InertStage {
    static let descriptor = Descriptor(
        name: "format", summary: "Makes text.",
        options: [OptionSpec("template", .text, default: "auto", help: "Template.", example: "alpaca")])
    let options: OptionValues
    let reads: [Input] = [.field("prompt")]
    let writes = [ColumnSpec(.text, .bytes)]
}

struct InertEmbed: InertStage {
    static let descriptor = Descriptor(
        name: "embed", summary: "Makes vectors.",
        options: [
            OptionSpec("model", .choice(["lexical"]), default: "lexical", help: "Model."),
            OptionSpec("dimensions", .integer(8...4096), default: 256, help: "Length."),
        ])
    let options: OptionValues
    let reads: [Input] = [.column(.text, .bytes)]
    var writes: [ColumnSpec] { [ColumnSpec(.embedding, .vector(dimension: (try? options.integer("dimensions")) ?? 0))] }
}

struct InertCluster: InertStage {
    static let descriptor = Descriptor(
        name: "cluster", summary: "Groups.",
        options: [
            OptionSpec(
                "clusters", .either([.choice(["auto"]), .integer(1...65_536)]), default: "auto", help: "How many."),
            OptionSpec("reservoir", .integer(1...(.max)), default: 20_000, help: "How many records to learn from."),
        ])
    let options: OptionValues
    let reads: [Input] = [.column(.embedding, .vector)]
    let writes = [ColumnSpec(.cluster, .integer)]

    init(options: OptionValues) throws(StageError) {
        if case .integer(let clusters)? = options["clusters"], try clusters > options.integer("reservoir") {
            throw .option("clusters", "\(clusters) clusters can't be learnt from fewer records; raise `reservoir`")
        }
        self.options = options
    }
}

struct InertCoreset: InertStage {
    static let descriptor = Descriptor(
        name: "coreset", summary: "Chooses.",
        options: [
            OptionSpec("keep", .quantity, isRequired: true, help: "How many.", example: "5%"),
            OptionSpec("per", .text, help: "Column of groups.", example: "cluster"),
        ])
    let options: OptionValues
    var reads: [Input] {
        let group = try? options.text("per")
        return [.column(.embedding, .vector)] + (group.map { [.column(ColumnName($0), .integer)] } ?? [])
    }
    let writes = [ColumnSpec(.rank, .integer)]
}

struct InertRedundancy: InertStage {
    static let descriptor = Descriptor(
        name: "redundancy", summary: "Drops the common.",
        options: [
            OptionSpec("method", .choice(["lift", "pairwise"]), default: "lift", help: "Method."),
            OptionSpec("keep", .quantity, default: "20%", help: "How many."),
            OptionSpec("threshold", .real(0...2), default: 0.1, help: "Distance."),
            OptionSpec("exact", .flag, default: false, help: "Flag."),
            OptionSpec("cache", .size, default: "64MiB", help: "Size."),
            OptionSpec("fields", .list(.text), default: [], help: "Texts."),
            OptionSpec("stopwords", .path, help: "A file."),
            OptionSpec("weights", .map(.quantity), help: "Weights."),
        ])
    let options: OptionValues
    let reads: [Input] = [.column(.embedding, .vector)]
    let writes: [ColumnSpec] = []
}

let stages = Registry([
    InertFormat.self, InertEmbed.self, InertCluster.self, InertCoreset.self, InertRedundancy.self,
])

struct Format: StageSpecConvertible {
    var template: String
    var stageSpec: StageSpec { StageSpec("format", ["template": .text(template)]) }
}

struct Embed: StageSpecConvertible {
    var dimensions: Int
    var stageSpec: StageSpec { StageSpec("embed", ["dimensions": .integer(dimensions)]) }
}
