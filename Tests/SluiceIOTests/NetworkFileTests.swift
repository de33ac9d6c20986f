import Glibc
import Testing

@testable import SluiceIO

/// What NFS does, done by hooks. `make nfs` tests against NFS itself.
@Suite struct NetworkFileTests {
    let folder = TemporaryFolder()

    /// The server renames the file and goes down; asked again, it does not find the old name.
    @Test func aRenameThatIsAskedForTwiceSucceeds() throws {
        let path = folder("a")
        for isDone in [true, false] {
            try folder.write("a", "old")
            let faulty = FileSystem.local.intercepting { operation, from in
                guard operation == .rename else { return .proceed }
                if isDone { Glibc.rename(from, path) } else { unlink(from) }
                return .fail(ENOENT)
            }
            let thrown = failure { try faulty.write(Array("new".utf8), to: path) }
            #expect((thrown == nil) == isDone)
            #expect(try FileSystem.local.contents(of: path) == Array((isDone ? "new" : "old").utf8))
            #expect(folder.names == ["a"])
        }
    }

    /// A file that was removed while it is open can't be removed, and so its folders can't.
    @Test func heldFilesStayWithTheirFolders() throws {
        for held in ["t/.nfs01", "t/b/c/.nfs01", ""] {
            for name in ["t/a", "t/mark", "t/b/c/d", "t/b/e", held] where !name.isEmpty {
                try FileSystem.local.makeFolder(Path.folder(of: folder(name)))
                try folder.write(name, "")
            }
            let faulty = FileSystem.local.intercepting { operation, path in
                operation == .remove && Path.name(of: path).hasPrefix(".nfs") ? .fail(EBUSY) : .proceed
            }
            #expect(try faulty.clearTree(folder("t"), last: "mark") == held.isEmpty)
            var left: [String] = []
            var at = held
            while at.contains("/") {
                left.append(at)
                at = Path.folder(of: at)
            }
            for name in left { #expect(try FileSystem.local.status(of: folder(name)) != nil, "\(name)") }
            #expect(try FileSystem.local.status(of: folder("t/mark")) == nil ? held.isEmpty : !held.isEmpty)
            for name in ["t/a", "t/b/c/d", "t/b/e"] {
                #expect(try FileSystem.local.status(of: folder(name)) == nil, "\(name)")
            }
            #expect(try held.isEmpty || FileSystem.local.clearTree(folder("t"), last: "mark"))
            #expect(folder.names == [])
        }
    }

    /// Only names of NFS are left alone.
    @Test func otherBusyFilesAreErrors() throws {
        try FileSystem.local.makeFolder(folder("t"))
        try folder.write("t/a", "")
        let faulty = FileSystem.local.intercepting { operation, path in
            operation == .remove && path.hasSuffix("/a") ? .fail(EBUSY) : .proceed
        }
        #expect(failure { try faulty.removeTree(folder("t")) }?.errno == EBUSY)
    }

    /// The file of a lock was removed, and made anew, between opening and locking it.
    @Test func aLockOnARemovedFileGuardsNothing() throws {
        let path = folder("lock")
        let calls = Counter()
        let removing = FileSystem.local.intercepting { operation, path in
            if operation == .lock, calls.next() == 1 { unlink(path) }
            return .proceed
        }
        let lock = try removing.lock(path)
        #expect(calls.value == 2)
        #expect(failure { _ = try FileSystem.local.lock(path) }?.code == .locked)
        _ = lock
    }

    @Test func staleFilesAreWorthATry() {
        let stale = IOFailure(system: ESTALE, doing: .read, path: "x")
        #expect(stale.description.contains("try again"))
    }
}
