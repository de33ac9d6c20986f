import SluiceCore
import Testing

@testable import SluiceCommand

@Suite struct AddedStagesTests {
    private struct Length: Stage, Transform {
        static let descriptor = Descriptor(name: "length", summary: "Has the name of a built-in stage.")
        let reads: [Input] = []
        let writes: [ColumnSpec] = []
        init(options: OptionValues) {}
        func apply(to block: inout Block) {}
    }

    private struct Other: Stage, Transform {
        static let descriptor = Descriptor(name: "other", summary: "Has a name of its own.")
        let reads: [Input] = []
        let writes: [ColumnSpec] = []
        init(options: OptionValues) {}
        func apply(to block: inout Block) {}
    }

    @Test func twoStagesOfOneNameAreFound() {
        #expect(SluiceCommand.duplicate(among: [Other.self]) == nil)
        #expect(SluiceCommand.duplicate(among: [Other.self, Length.self]) == "length")
        #expect(SluiceCommand.duplicate(among: [Other.self, Other.self]) == "other")
    }
}
