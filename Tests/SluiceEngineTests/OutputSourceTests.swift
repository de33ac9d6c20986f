import SluiceCore
import Testing

@testable import SluiceEngine

@Suite struct OutputSourceTests {
    @Test func aNumberThatIsNotThereIsMissing() {
        let columns: [(name: ColumnName, column: Column)] = [("score", .reals([1.5, .nan, 0]))]
        let source = OutputSource(column: "score")
        #expect((0..<3).map { source.value($0, columns) } == [.real(1.5), .missing, .real(0)])
        #expect(OutputSource(column: "other").value(0, columns) == .missing)
    }
}
