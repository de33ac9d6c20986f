import Glibc
import Synchronization
import Testing

@testable import SluiceIO

@Suite struct FileTests {
    let folder = TemporaryFolder()

    @Test func atomicFileAppearsOnlyAtCommit() throws {
        let file = try AtomicFile(folder("a"))
        try file.write(Array("hello".utf8))
        #expect(try FileSystem.local.status(of: folder("a")) == nil)
        try file.commit()
        #expect(try FileSystem.local.contents(of: folder("a")) == Array("hello".utf8))
        #expect(folder.names == ["a"])
    }

    @Test func atomicFileLeavesNothingWhenDropped() throws {
        try folder.write("a", "old")
        do {
            let file = try AtomicFile(folder("a"))
            try file.write(Array("new".utf8))
        }
        #expect(folder.names == ["a"])
        #expect(try FileSystem.local.contents(of: folder("a")) == Array("old".utf8))
    }

    @Test func everyFaultOfAnAtomicFileLeavesTheOldOrTheNew() throws {
        for fault in [FileSystem.Intervention.fail(EIO), .fail(ENOSPC), .tear(after: 2, ENOSPC), .short(1)] {
            var survived = false
            for n in 1...50 where !survived {
                try folder.write("a", "old")
                let calls = Counter()
                let faulty = FileSystem.local.intercepting { _, _ in calls.next() == n ? fault : .proceed }
                let thrown = failure { try faulty.write(Array("brand new".utf8), to: folder("a")) }
                let found = String(decoding: try FileSystem.local.contents(of: folder("a")), as: UTF8.self)
                #expect(folder.names == ["a"])
                if thrown == nil {
                    #expect(found == "brand new")
                    survived = calls.value < n
                } else {
                    // After the rename only flushing the folder can fail.
                    #expect(found == "old" || found == "brand new")
                }
            }
            #expect(survived)
        }
    }

    @Test func failuresSayWhatToDo() {
        let missing = failure { _ = try FileSystem.local.openInput("/nowhere/at all") }
        #expect(missing?.code == .cannotOpen)
        #expect(missing?.description == "/nowhere/at all: opening failed: No such file or directory. Check the name.")
        let isFolder = failure { _ = try FileSystem.local.openInput("/tmp") }
        #expect(isFolder?.code == .cannotRead)
        let full = IOFailure(system: ENOSPC, doing: .write, path: "x")
        #expect(full.code == .diskFull)
    }

    @Test func foldersAreMadeListedAndRemoved() throws {
        let files = FileSystem.local
        try files.makeFolder(folder("a/b/c"))
        try files.makeFolder(folder("a/b/c"))
        try folder.write("a/b/2", "")
        try folder.write("a/b/10", "")
        #expect(try files.entries(of: folder("a/b")) == ["10", "2", "c"])
        try files.removeTree(folder("a"))
        #expect(folder.names == [])
        try files.remove(folder("never there"))
    }

    @Test func lockIsHeldOnce() throws {
        do {
            let lock = try FileSystem.local.lock(folder("lock"))
            #expect(failure { _ = try FileSystem.local.lock(folder("lock")) }?.code == .locked)
            _ = lock
        }
        _ = try FileSystem.local.lock(folder("lock"))
    }

    @Test func pathsSplit() {
        #expect(Path.folder(of: "a/b/c") == "a/b")
        #expect(Path.folder(of: "c") == ".")
        #expect(Path.folder(of: "/c") == "/")
        #expect(Path.name(of: "a/b") == "b")
        #expect(Path.name(of: "b") == "b")
    }
}

final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    func next() -> Int { count.add(1, ordering: .relaxed).newValue }
    var value: Int { count.load(ordering: .relaxed) }
}
