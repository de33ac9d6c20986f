import SluiceCore
import Testing

@testable import SluiceEngine

@Suite struct AccountTests {
    @Test func closesOrFails() throws {
        var account = Account()
        account.read = 10
        account.kept = 6
        account.countDrop(stage: "dedupe", reason: "duplicate", 2)
        account.countDrop(stage: "format", reason: "empty-field")
        #expect(throws: EngineError.self) { try account.close() }
        account.countFault("invalid-json")
        try account.close()
        #expect(account.dropped == 3)
        #expect(account.dropped(by: "dedupe") == 2)
        var twice = account
        twice.add(account)
        try twice.close()
        #expect(twice.read == 20 && twice.dropped == 6 && twice.quarantined == 2)
    }
}
