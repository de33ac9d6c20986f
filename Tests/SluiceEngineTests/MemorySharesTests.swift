import SluiceCore
import Synchronization
import Testing

@testable import SluiceEngine

/// Shares of random budgets for random needs: properties that hold for all of them.
@Suite struct MemorySharesTests {
    /// A random definition and its needs.
    private struct Scene: CustomStringConvertible {
        var definition: Definition
        let threads: Int
        let inputs: Int
        let width: Int
        let needs: [MemoryShares.Need]

        init(_ random: inout SplitMix64) {
            let hasStages = random.next(below: 4) > 0
            definition = Definition(
                input: InputSpec(files: ["a"], dedupe: random.next(below: 3) > 0 ? .line : nil),
                stages: hasStages ? [StageSpec("some")] : [], output: OutputSpec(directory: "out"))
            threads = [1, 2, 3, 4, 8, 16, 64][Int(random.next(below: 7))]
            inputs = [1, 2, 5, 100, .max][Int(random.next(below: 5))]
            width = [0, 384, 1024, 8192, 30_000][Int(random.next(below: 5))]
            var needs: [MemoryShares.Need] = []
            for number in 0..<(hasStages ? 1 + random.next(below: 4) : 0) {
                func bytes() -> Int { Int(random.next(below: 1 << (10 + random.next(below: 22)))) }
                let kind: MemoryShares.Need.Kind =
                    switch random.next(below: 4) {
                    case 0: .transform(TransformMemory(perThread: bytes() / 8))
                    case 1:
                        .survey(
                            SurveyMemory(
                                summary: bytes(), finish: bytes(), leaves: bytes() / 4, advice: "do something else"))
                    case 2:
                        .asking(
                            Requests(
                                width: 1 + Int(random.next(below: 300)),
                                AskingMemory(longestAnswer: bytes() / 1024, stack: bytes() / 1024)))
                    default: .selection(bytes())
                    }
                needs.append(MemoryShares.Need(stage: "stage-\(number)", kind: kind, resident: bytes() / 16))
            }
            self.needs = needs
        }

        func shares(_ memory: Int) throws(EngineError) -> MemoryShares {
            var definition = definition
            definition.memory = memory
            return try MemoryShares(definition, threads: threads, inputs: inputs, width: width, needs: needs)
        }

        var description: String {
            "\(threads) threads, \(inputs) inputs, rows of \(width), \(definition.stages.count) stages, \(needs)"
        }
    }

    private func smallest(in message: String) -> Int? {
        message.split(separator: " ").compactMap { word in
            word.hasSuffix("MiB") || word.hasSuffix("MiB,") ? MemorySize.parse(String(word.filter { $0 != "," })) : nil
        }.first
    }

    @Test func theSmallestBudgetIsExactAndAllAboveItDo() throws {
        var random = SplitMix64(state: 1)
        for _ in 0..<300 {
            let scene = Scene(&random)
            var found: Int?
            do throws(EngineError) {
                _ = try scene.shares(1 << 20)
                Issue.record("1 MiB did: \(scene)")
            } catch {
                #expect(error.code == .resources)
                let sizes = error.message.split(separator: "needs at least ").last.map(String.init) ?? ""
                found = smallest(in: sizes)
            }
            let least = try #require(found, "\(scene)")
            #expect(try scene.shares(least).smallest == least, "\(scene)")
            #expect(throws: EngineError.self, "\(scene)") { _ = try scene.shares(least - (1 << 20)) }
            for _ in 0..<20 {
                let more = least + Int(random.next(below: 1 << (20 + random.next(below: 14))))
                #expect(throws: Never.self, "\(more) bytes for \(scene)") { _ = try scene.shares(more) }
            }
        }
    }

    @Test func noPhaseLeasesMoreThanTheBudget() throws {
        var random = SplitMix64(state: 2)
        for _ in 0..<300 {
            let scene = Scene(&random)
            let least = try scene.shares(1 << 40).smallest
            for memory in [least, least + (1 << 20), least * 5 / 4, least * 3, least * 40] {
                let shares = try scene.shares(memory)
                var phases = [shares.reading(), shares.reading(hasTable: false), shares.writing]
                if scene.definition.input.dedupe != nil { phases.append(shares.spilling) }
                let first = scene.needs.prefix { $0.isTransform }.count
                phases.append(try shares.rows("any").parts)
                // Workers of the next pass, and the survey's result before it.
                var (workers, left, requests): ([TransformMemory], Int, Requests) = ([], 0, Requests())
                for need in scene.needs.dropFirst(first) {
                    let beside = shares.workers(workers) + MemoryShares.left(left)
                    switch need.kind {
                    case .transform(let memory):
                        workers.append(memory)
                        let beside = shares.workers(workers) + MemoryShares.left(left)
                        phases.append(try shares.rows(need.stage, beside: beside, requests).parts)
                    case .asking(let more):
                        requests.add(more)
                        let share = try shares.rows(need.stage, beside: beside, requests)
                        #expect(share.extra <= requests.width)
                        phases.append(share.parts)
                    case .survey(let memory):
                        let share = try shares.survey(need.stage, memory, beside: beside, requests)
                        #expect(share.bytes >= memory.least && share.bytes >= share.summaries * memory.summary)
                        #expect((1...scene.threads).contains(share.summaries) && share.rows.blocks >= 4)
                        phases.append(share.parts)
                        (workers, left, requests) = ([], memory.leaves, Requests())
                    case .selection(let bytes):
                        let held = MemoryShares.left(left)
                        let part = try shares.selection(need.stage, bytes, beside: held)
                        #expect(part.bytes >= bytes)
                        phases.append([part] + held + shares.choosing)
                        (workers, left, requests) = ([], 0, Requests())
                    }
                }
                for phase in phases {
                    let parts = shares.always + phase
                    #expect(parts.allSatisfy { $0.bytes >= 0 }, "\(memory) bytes for \(scene): \(parts)")
                    #expect(parts.reduce(0) { $0 + $1.bytes } <= memory, "\(memory) bytes for \(scene): \(parts)")
                }
                #expect(shares.dedupe >= (scene.definition.input.dedupe == nil ? 0 : 64 << 10))
            }
        }
    }

    /// Facts known only once the groups are counted, or a survey has become a transform.
    @Test func theSmallestBudgetIsExactForWhatComesLater() throws {
        var random = SplitMix64(state: 3)
        for _ in 0..<200 {
            let scene = Scene(&random)
            guard scene.needs.contains(where: { if case .transform = $0.kind { false } else { true } }) else {
                continue
            }
            let shares = try scene.shares(try scene.shares(1 << 40).smallest + Int(random.next(below: 100 << 20)))
            let survey = SurveyMemory(summary: 1 << 30, finish: Int(random.next(below: 1 << 30)))
            for isSurvey in [false, true] {
                func ask(_ shares: MemoryShares) throws(EngineError) {
                    if isSurvey {
                        _ = try shares.survey("late", survey)
                    } else {
                        _ = try shares.selection("late", 2 << 30)
                    }
                }
                do throws(EngineError) {
                    try ask(shares)
                } catch {
                    #expect(error.message.hasPrefix("stage `late` needs "), "\(error)")
                    let least = try #require(
                        smallest(in: error.message.split(separator: "needs at least ").last.map(String.init) ?? ""))
                    try ask(try scene.shares(least))
                    #expect(throws: EngineError.self, "\(scene)") { try ask(try scene.shares(least - (1 << 20))) }
                }
            }
        }
    }

    /// A number of threads that nobody requested is no reason to refuse: fewer threads only take longer.
    @Test func asManyThreadsAsThereIsRoomFor() throws {
        var definition = Definition(
            memory: 256 << 20, input: InputSpec(files: ["a"], dedupe: .line), output: OutputSpec(directory: "out"))
        func most(_ wanted: Int) throws -> Int { try Plan.threads(definition, registry: Registry(), atMost: wanted) }
        #expect(try most(2) == 2)
        let threads = try most(64)
        #expect((2..<64).contains(threads))
        #expect(throws: Never.self) { _ = try MemoryShares(definition, threads: threads) }
        #expect(throws: EngineError.self) { _ = try MemoryShares(definition, threads: threads + 1) }
        definition.memory = 1 << 30
        #expect(try most(64) == 64)
        // If not even one thread fits, the run says so.
        definition.memory = 1 << 20
        #expect(try most(64) == 1)
    }

    @Test(arguments: [1, 2, 3]) func noMoreSummariesThanThereIsRoomFor(most: Int) {
        let made = Atomic<Int>(0)
        let spares = ObjectPool<Int>(most: most) { made.add(1, ordering: .relaxed).newValue }
        let pool = WorkerPool(threads: 8)
        defer { pool.stop() }
        let used = Atomic<Int>(0)
        pool.run(2000) { _ in
            spares.using { _ in _ = used.add(1, ordering: .relaxed) }
        }
        #expect(used.load(ordering: .relaxed) == 2000)
        #expect((1...most).contains(made.load(ordering: .relaxed)))
        #expect(spares.takeAll().count == made.load(ordering: .relaxed))
    }
}
