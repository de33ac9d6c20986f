import Embedder
import Formatter
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
                + #""instruction":"Add \#(index)","output":"\#(index)"}"#
        }
    }

    static let registry = Registry([FormatStage.self, EmbedStage.self])

    @Test(arguments: ["auto", "alpaca", "prompt-completion", "question-answer", "chatml", "{prompt}\n{completion?}"])
    func formatKeepsTheContract(template: String) {
        #expect(StageContract.check(FormatStage.self, options: ["template": .text(template)], records: Self.records) == [])
    }

    @Test(arguments: [64, 384])
    func embedKeepsTheContract(dimensions: Int) {
        #expect(
            StageContract.check(
                EmbedStage.self, options: ["dimensions": .integer(dimensions)], records: Self.records,
                after: [StageSpec("format")], registry: Self.registry) == [])
    }
}
