import Clusterer
import CoresetSelector
import Embedder
import Formatter
import RedundancyFilter
import SluiceCore
import SluiceTesting
import Testing

/// The built-in stages keep the contract that every stage must keep.
@Suite struct PluginContractTests {
    /// Records of several schemas, some of which no template fits.
    static let records = (0..<60).map { index in
        switch index % 8 {
        case 3: #"{"messages":[{"role":"user","content":"hi \#(index)"},{"role":"assistant","content":"yes"}]}"#
        case 5: #"{"x":1}"#
        case 6: #"{"question":"Why \#(index)?","answer":null,"prompt":""}"#
        default:
            #"{"prompt":"What is \#(index) plus \#(index * index)? 数学","completion":"It is \#(index + index * index).","#
                + #""instruction":"Add \#(index)","output":"\#(index)","kind":"k\#(index % 3)"}"#
        }
    }

    static let registry = Registry([
        FormatStage.self, EmbedStage.self, ClusterStage.self, CoresetStage.self, RedundancyStage.self,
    ])

    @Test(arguments: ["auto", "alpaca", "prompt-completion", "question-answer", "chatml", "{prompt}\n{completion?}"])
    func formatKeepsTheContract(template: String) {
        #expect(
            StageContract.check(FormatStage.self, options: ["template": .text(template)], records: Self.records) == [])
    }

    @Test(arguments: [64, 384])
    func embedKeepsTheContract(dimensions: Int) {
        #expect(
            StageContract.check(
                EmbedStage.self, options: ["dimensions": .integer(dimensions)], records: Self.records,
                after: [StageSpec("format")], registry: Self.registry) == [])
    }

    /// The faults found in a stage that follows `format`, `embed` and `upstream`.
    private func check(
        _ stage: any Stage.Type, _ options: OptionValues, after upstream: [StageSpec] = []
    ) -> [Violation] {
        StageContract.check(
            stage, options: options, records: Self.records,
            after: [StageSpec("format"), StageSpec("embed", ["model": "lexical", "dimensions": 32])] + upstream,
            registry: Self.registry)
    }

    @Test(
        arguments: [
            [:], ["clusters": 5], ["clusters": 5, "reservoir": 20],
            ["clusters": 3, "initial": "random", "iterations": 0],
            ["clusters": 5, "initial": "k-means||"], ["clusters": 500],
        ] as [OptionValues])
    func clusterKeepsTheContract(options: OptionValues) {
        #expect(check(ClusterStage.self, options) == [])
    }

    @Test(
        arguments: [
            ["keep": "20%"], ["keep": 7, "per": "cluster"], ["keep": "20%", "per": "cluster", "shares": "square-root"],
            ["keep": "100%", "per": "cluster"], ["keep": 5, "trim": 1],
            ["keep": 12, "per": "cluster", "floor": 2], ["keep": 5, "rounds": "composable", "part": 9],
            ["keep": 4, "method": "medoids", "reservoir": 11], ["keep": 4, "method": "sensitivity", "reservoir": 11],
            ["keep": 4, "method": "facility-location", "reservoir": 11],
            ["keep": 20, "method": "score-first", "score": "cluster_distance", "distance": 0.4],
            ["keep": 6, "method": "score-first", "score_field": "x"],
            ["keep": 12, "per": "kind", "quota": ["k1": 2, "rest": "equal"]],
            ["keep": 12, "per": "text", "shares": "equal"],
        ] as [OptionValues])
    func coresetKeepsTheContract(options: OptionValues) {
        #expect(check(CoresetStage.self, options, after: [StageSpec("cluster", ["clusters": 4])]) == [])
    }

    @Test(arguments: CoresetStage.descriptor.options.first { $0.name == "method" }?.kind.words ?? [])
    func everyMethodOfCoresetKeepsTheContract(method: String) {
        var options: OptionValues = ["keep": "20%", "per": "cluster", "method": .text(method)]
        if method == "score-first" { options["score"] = "cluster_distance" }
        #expect(check(CoresetStage.self, options, after: [StageSpec("cluster", ["clusters": 4])]) == [])
    }

    @Test(
        arguments: [
            ["method": "lift"], ["method": "lift", "components": "paper", "keep": "15%"], ["method": "leverage"],
            ["method": "pairwise"], ["method": "pairwise", "distance": 0.5],
            ["method": "pairwise", "distance": 0.5, "per": "cluster"],
            ["method": "pairwise", "distance": 0.5, "per": "kind"],
            ["method": "pairwise", "distance": 0.5, "order": "rank"], ["method": "lift", "keep": 5],
            ["method": "pairwise", "distance": 0.5, "per": "cluster", "neighbours": 2],
            ["method": "semdedup", "distance": 0.5],
            ["method": "semdedup", "distance": 0.4, "order": "easy", "neighbours": 3],
        ] as [OptionValues])
    func redundancyKeepsTheContract(options: OptionValues) {
        let upstream = [StageSpec("cluster", ["clusters": 4]), StageSpec("coreset", ["keep": "90%"])]
        #expect(check(RedundancyStage.self, options, after: upstream) == [])
    }
}

extension OptionKind {
    /// The names of a choice.
    fileprivate var words: [String] { if case .choice(let words) = self { words } else { [] } }
}
