import SluiceCore
import Synchronization
import Testing

@testable import SluiceEngine

/// The engine's promises about the workers of a transform.
@Suite struct WorkerTests {
    /// The state of all workers.
    private final class Books: Sendable {
        let made = Atomic<Int>(0)
        let closed = Atomic<Int>(0)
        let applied = Atomic<Int>(0)
        let shared = Atomic<Int>(0)
    }

    /// Counts its workers, and notes whether two threads ever use the same one.
    private struct Counting: WorkerTransform {
        final class Worker {
            let isBusy = Atomic<Bool>(false)
            var isClosed = false
        }

        let books: Books
        var fails: (@Sendable (_ call: Int) -> Bool)?
        var failsToMake = false

        func memory(_ context: StageContext) -> TransformMemory { TransformMemory(perThread: 64) }

        func makeWorker(_ context: StageContext) throws(StageError) -> Worker {
            if failsToMake { throw StageError(.io, "no model") }
            books.made.add(1, ordering: .relaxed)
            return Worker()
        }

        func apply(to block: inout Block, with worker: inout Worker) throws(StageError) {
            if worker.isClosed || worker.isBusy.exchange(true, ordering: .relaxed) {
                books.shared.add(1, ordering: .relaxed)
            }
            defer { worker.isBusy.store(false, ordering: .relaxed) }
            let call = books.applied.add(1, ordering: .relaxed).newValue
            if fails?(call) ?? false { throw StageError(.invalidData, "call \(call)") }
        }

        func close(_ worker: inout Worker) {
            if worker.isClosed { books.shared.add(1, ordering: .relaxed) }
            worker.isClosed = true
            books.closed.add(1, ordering: .relaxed)
        }
    }

    private final class Item {}

    private func pass(
        _ transform: Counting, threads: Int, blocks: Int, isStopped: @escaping () -> Bool = { false }
    ) throws {
        let context = StageContext(name: "counting", seed: Seed(1), memory: 1 << 20)
        let run = TransformChain(links: [
            TransformChain.Link(transform, StageDeclaration(reads: [], writes: []), writesAll: false, context)
        ])
        let pool = WorkerPool(threads: threads)
        defer { pool.stop() }
        let next = Atomic<Int>(0)
        let conveyor = Conveyor<Item>(
            steps: [
                .parallel { _ in
                    var block = Block(ordinals: [], hashes: [], fields: nil, records: nil)
                    try run.apply(to: &block) { _, _, _ in }
                }
            ], limit: 2 * threads + 2, isStopped: isStopped,
            openLane: { number in
                number > 0 ? nil : { next.add(1, ordering: .relaxed).newValue <= blocks ? Item() : nil }
            })
        try run.closing { try conveyor.run(on: pool) }
    }

    @Test(arguments: [1, 2, 8]) func oneWorkerAThreadAtMostAndAllAreClosed(threads: Int) throws {
        let books = Books()
        try pass(Counting(books: books), threads: threads, blocks: 500)
        #expect(books.applied.load(ordering: .relaxed) == 500)
        #expect((1...threads).contains(books.made.load(ordering: .relaxed)))
        #expect(books.closed.load(ordering: .relaxed) == books.made.load(ordering: .relaxed))
        #expect(books.shared.load(ordering: .relaxed) == 0)
    }

    @Test func workersAreClosedAfterAnErrorAndAfterAStop() throws {
        let failed = Books()
        let error = #expect(throws: EngineError.self) {
            try pass(Counting(books: failed, fails: { $0 == 100 }), threads: 4, blocks: 500)
        }
        #expect(error?.message.contains("call 100") ?? false)
        #expect(failed.made.load(ordering: .relaxed) > 0)
        #expect(failed.closed.load(ordering: .relaxed) == failed.made.load(ordering: .relaxed))

        let stopped = Books()
        #expect(throws: EngineError.self) {
            try pass(Counting(books: stopped), threads: 4, blocks: 500) {
                stopped.applied.load(ordering: .relaxed) > 50
            }
        }
        #expect(stopped.made.load(ordering: .relaxed) > 0)
        #expect(stopped.closed.load(ordering: .relaxed) == stopped.made.load(ordering: .relaxed))
    }

    @Test func aWorkerThatCantBeMadeEndsTheRunWithItsMessage() throws {
        let books = Books()
        let error = #expect(throws: EngineError.self) {
            try pass(Counting(books: books, failsToMake: true), threads: 2, blocks: 10)
        }
        #expect(error?.message.contains("no model") ?? false)
        #expect(books.closed.load(ordering: .relaxed) == 0)
    }
}
