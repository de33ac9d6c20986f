import SluiceCore
import Testing

@testable import SluiceEngine

/// Long records and the dedupe's table share memory: random histories of both.
@Suite struct LongRecordsTests {
    private let copies = RecordCopies(
        Definition(input: InputSpec(files: ["a"], maxRecord: 16 << 20), output: OutputSpec(directory: "out")))

    /// Never more than the total is given away, the table never loses what it has, and whoever is told to wait gets the
    /// memory once the others have returned theirs.
    @Test func nothingIsGivenTwice() throws {
        var random = SplitMix64(state: 9)
        for _ in 0..<300 {
            let (bytes, table) = (copies.most + Int(random.next(below: 60 << 20)), Int(random.next(below: 4 << 20)))
            let most = table + Int(random.next(below: UInt64(bytes)))
            let room = LongRecords(bytes: bytes, table: table, mostTable: most, copies)
            var (leaving, held, lent): ([Int], Int, Int) = ([], 0, 0)
            var length = 0
            for _ in 0..<200 {
                switch random.next(below: 4) {
                case 0, 1:
                    length = min(copies.longest, length + Int(random.next(below: 3 << 20)))
                    switch room.reserve(&held, length: length) {
                    case .reserved:
                        #expect(held >= copies.bytes(length))
                        if random.next(below: 3) == 0 {
                            leaving.append(room.settle(held, length: length))
                            (held, length) = (0, 0)
                        }
                    case .later:
                        #expect(!leaving.isEmpty, "nothing under way, so waiting would never end")
                        for bytes in leaving { room.giveBack(bytes) }
                        leaving = []
                        #expect(room.reserve(&held, length: length) == .reserved)
                    case .tableIsInTheWay:
                        #expect(lent > table, "a record of any length fits beside the table's own memory")
                        #expect(room.overflow.records == lent / 30)
                    }
                case 2:
                    let wanted = lent + Int(random.next(below: 1 << 20))
                    do throws(Deduper.Overflow) {
                        try room.lend(toTable: wanted, distinct: wanted / 30)
                        lent = wanted
                    } catch {
                        #expect(wanted > most || wanted + held + leaving.reduce(0, +) > bytes + table)
                        try room.lend(toTable: lent, distinct: lent / 30)
                    }
                default: if !leaving.isEmpty { room.giveBack(leaving.removeFirst()) }
                }
                #expect(max(lent, 0) + held + leaving.reduce(0, +) <= bytes + table)
            }
        }
    }

    /// A record of medium length doesn't need the memory of the longest one.
    @Test func memoryIsReservedInSteps() {
        let room = LongRecords(bytes: copies.most, copies)
        var held = 0
        #expect(room.reserve(&held, length: 300 << 10) == .reserved)
        #expect(held < copies.most / 4)
        #expect(room.reserve(&held, length: 16 << 20) == .reserved)
        #expect(held == copies.most)
        held = room.settle(held, length: 9 << 20)
        #expect(held == copies.bytes(9 << 20))
        room.giveBack(held)
    }
}
