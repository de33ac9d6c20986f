import SluiceCore
import SluiceEngine
import SluiceIO
import Testing

/// A stage is told which of its columns are read later, including those that its own next step reads.
@Suite struct WantedColumnTests {
    @Test(arguments: [
        (["probe"], [], "neither"), (["probe", "reader"], [], "first"), (["probe"], [ColumnName("second")], "second"),
        (["probe", "reader"], [ColumnName("second")], "both"), (["pieces"], [], "both"),
    ])
    func onlyWhatIsAskedForIsWanted(stages: [String], annotate: [ColumnName], expected: String) throws {
        let folder = try TemporaryFolder()
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        try Array("{\"a\":1}\n".utf8).withUnsafeBytes { try input.write($0) }
        let definition = Definition(
            input: InputSpec(files: ["\(folder.path)/in.jsonl"]), stages: stages.map { StageSpec($0) },
            output: OutputSpec(directory: "\(folder.path)/out", annotate: annotate))
        let registry = Registry().adding(Probe.self).adding(Reader.self).adding(Pieces.self)
        let result = try Run(definition, registry: registry, options: RunOptions(threads: 1)).run()
        let dropped = result.manifest["stages"]?.elements.first?["dropped"]
        #expect(dropped?[expected]?.integerValue == 1, "\(String(describing: dropped))")
    }
}

/// Writes two columns and drops every record, with the wanted columns as the reason.
private struct Probe: Stage, Transform {
    static let descriptor = Descriptor(name: "probe", summary: "Says what is wanted of it.", options: [])
    init(options: OptionValues) {}
    var reads: [Input] { [] }
    var writes: [ColumnSpec] { [ColumnSpec("first", .integer), ColumnSpec("second", .integer)] }

    func apply(to block: inout Block) {
        let reason: Reason =
            switch (block.isWanted("first"), block.isWanted("second")) {
            case (true, true): "both"
            case (true, false): "first"
            case (false, true): "second"
            case (false, false): "neither"
            }
        for name: ColumnName in ["first", "second"] {
            block.write(name, .integers([Int64](repeating: 0, count: block.count)))
        }
        for record in 0..<block.count { block.drop(record, reason: reason) }
    }
}

private struct Reader: Stage, Transform {
    static let descriptor = Descriptor(name: "reader", summary: "Reads `first`.", options: [])
    init(options: OptionValues) {}
    var reads: [Input] { [.column("first", .integer)] }
    var writes: [ColumnSpec] { [] }
    func apply(to block: inout Block) {}
}

/// Two steps; the second may read what the first writes.
private struct Pieces: Stage {
    static let descriptor = Descriptor(name: "pieces", summary: "Two pieces of work.", options: [])
    init(options: OptionValues) {}
    var reads: [Input] { [] }
    var writes: [ColumnSpec] { Probe(options: [:]).writes }
    func body(_ context: StageContext) -> StageBody {
        .sequence([.transform(Probe(options: [:])), .transform(Reader(options: [:]))])
    }
}
