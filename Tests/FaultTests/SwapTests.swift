import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceKit
import SluicePipeline
import SluiceTesting
import Testing

/// A result that replaces another one, stopped at every step: a reader finds one of them, complete.
@Suite(.serialized)
struct SwapTests {
    /// A directory with a result, and a definition of another result that has fewer files.
    private struct Scene {
        let work: Workspace
        let old: Snapshot
        let new: Snapshot

        init() throws {
            work = try Workspace()
            try Corpus.write(60, to: work.path, all: false)
            try Library(work, .select).run("old", .local)
            try Library(work, .dedupe).run("new", .local)
            old = try Snapshot(work("old"))
            new = try Snapshot(work("new"))
        }

        func replace(_ fileSystem: FileSystem, resume: Bool = false) throws {
            try Library(work, .dedupe).run("out", fileSystem, force: !resume, resume: resume)
        }

        /// Expects that a reader sees a single result, and returns whether it is the new one.
        func isNew(_ place: Comment) throws -> Bool {
            let reader = try RunReader(work("out"))
            #expect(try reader.verify(inputFolder: work.path).faults == [], place)
            let isNew = reader.manifest["outputs"]?.elements.count == 3
            if !isNew { #expect(try Snapshot(work("out")) == old, place) }
            return isNew
        }
    }

    /// The process and its disk fail from the n-th call on, for every n from shortly before the commit.
    @Test(arguments: [FaultyFileSystem.Extent.fromThenOn, .once])
    func everyStepOfTheSwapMayBeTheLast(_ extent: FaultyFileSystem.Extent) throws {
        let scene = try Scene()
        let work = scene.work
        let counter = FaultyFileSystem(failing: 0)
        try work.copy("old", to: "out")
        try scene.replace(counter.fileSystem)
        var (oldSeen, newSeen, mixed) = (0, 0, 0)
        let last = isSoak ? counter.calls : 50
        for n in stride(from: 1, to: counter.calls - last, by: 7) + Array((counter.calls - last)...counter.calls)
        where n > 0 {
            work.remove("out")
            try work.copy("old", to: "out")
            let faulty = FaultyFileSystem(failing: n, with: .error(EIO), extent)
            var failure: (any Error)?
            do { try scene.replace(faulty.fileSystem) } catch { failure = error }
            let place: Comment =
                "call \(n) of \(counter.calls): \(faulty.failed.map { "\($0.operation) of \($0.path)" } ?? "")"
            let isNew = try scene.isNew(place)
            if failure == nil { #expect(isNew, place) }
            if isNew {
                newSeen += 1
                if try Snapshot(work("out")) != scene.new { mixed += 1 }
            } else {
                oldSeen += 1
            }
            // The same command continues the run, or starts again if there is nothing to continue.
            do {
                try scene.replace(.local, resume: true)
            } catch let error as EngineError {
                #expect(error.code == .definition && !isNew, "\(place): \(error)")
                #expect(try Snapshot(work("out")) == scene.old, place)
                try scene.replace(.local)
            }
            #expect(try Snapshot(work("out")) == scene.new, place)
            #expect(try FileSystem.local.entries(of: work("out")).count == scene.new.files.count, place)
        }
        note(
            "swap, \(extent): the old result \(oldSeen) times, the new one \(newSeen) times, \(mixed) of these in two places"
        )
        #expect(oldSeen > 20 && newSeen > 3)
        if extent == .fromThenOn { #expect(mixed > 2, "no stop fell into the swap itself") }
    }

    /// A result whose files were damaged between commit and rename does not replace the old one.
    @Test func aDamagedResultIsNotPublished() throws {
        let scene = try Scene()
        let work = scene.work
        try work.copy("old", to: "out")
        // The first rename of a result file to its final name fails.
        let target = work("out/work/result/kept.jsonl.zst")
        let faulty = FileSystem.local.intercepting { operation, path in
            operation == .rename && path == target ? .fail(EIO) : .proceed
        }
        #expect(throws: EngineError.self) { try scene.replace(faulty) }
        #expect(try scene.isNew("after the commit"))
        var bytes = try FileSystem.local.contents(of: target)
        bytes[bytes.count / 2] ^= 1
        try FileSystem.local.write(bytes, to: target)
        let error = #expect(throws: EngineError.self) { try scene.replace(.local, resume: true) }
        #expect(error?.message.contains("kept.jsonl.zst") == true && error?.remedies.contains(.restart) == true)
        #expect(try Snapshot(work("out")).files["kept.jsonl.zst"] == scene.old.files["kept.jsonl.zst"])
        try scene.replace(.local)
        #expect(try Snapshot(work("out")) == scene.new)
    }
}

private func + (a: StrideTo<Int>, b: [Int]) -> [Int] { Array(a) + b }
