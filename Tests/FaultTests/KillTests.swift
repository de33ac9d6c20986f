import Glibc
import SluiceCore
import SluiceIO
import Testing

/// The program itself, stopped in every way that a system offers.
@Suite(.serialized)
struct KillTests {
    /// A definition and its data in a folder, and the program that runs it.
    struct Scene {
        let work: Workspace
        let kind: Case
        let records: Int

        init(_ kind: Case, records: Int) throws {
            work = try Workspace()
            self.kind = kind
            self.records = records
            try Corpus.write(records, to: work.path, all: true)
            try FileSystem.local.write(Array(kind.yaml().utf8), to: work("run.yaml"))
        }

        func arguments(_ output: String, _ more: [String] = []) -> [String] {
            [
                "run", work("run.yaml"), "--output", work(output), "--progress", "none", "--threads", "2",
                "--segment-bytes", "20000", "--checkpoint-seconds", "0", "--block-bytes", "4096",
                // Parts end inside files, too.
                "--part-bytes", "30000",
            ] + (kind.dedupeBytes.map { ["--dedupe-bytes", String($0)] } ?? [])
                + (kind.dedupeHashBits.map { ["--dedupe-hash-bits", String($0)] } ?? []) + more
        }

        func undisturbed() throws -> (whole: Snapshot, seconds: Double) {
            let outcome = try Process.run(arguments("whole"))
            #expect(outcome.status == 0, "\(outcome.error)")
            return (try Snapshot(work("whole")), outcome.seconds)
        }

        /// Starts a run and ends it with a signal after this many seconds.
        func interrupted(_ signal: Int32, after seconds: Double, _ more: [String] = []) throws -> Process.Outcome {
            let process = try Process(arguments("out", more))
            Process.sleep(seconds)
            kill(process.pid, signal)
            return try process.wait()
        }

        /// Starts runs until a signal ends one that can be resumed.
        func stopped(_ signal: Int32) throws -> Process.Outcome? {
            for _ in 0..<20 {
                work.remove("out")
                let process = try Process(arguments("out"))
                process.wait { access(work("out/work/checkpoint"), F_OK) == 0 }
                process.send(signal)
                let outcome = try process.wait()
                if outcome.status != 0 { return outcome }
            }
            return nil
        }
    }

    @Test(arguments: Case.allCases)
    func killedAnywhereAndResumed(_ kind: Case) throws {
        let scene = try Scene(kind, records: kind == .select ? 1200 : 4000)
        let (whole, seconds) = try scene.undisturbed()
        #expect(whole.files.count >= 4)
        var random = SplitMix64(state: testSeed &+ 100)
        func draw() -> Double { Double(random.next(below: 1 << 30)) / Double(1 << 30) }
        var kills = 0, resumes = 0, rounds = 0
        let wanted = isSoak ? 150 : 6
        while kills < wanted, rounds < wanted * 3 {
            rounds += 1
            scene.work.remove("out")
            var more: [String] = []
            for _ in 0..<4 {
                let outcome = try scene.interrupted(SIGKILL, after: draw() * seconds, more)
                if outcome.status == 128 + SIGKILL {
                    kills += 1
                    if try FileSystem.local.status(of: scene.work("out")) != nil {
                        let left = try Snapshot(scene.work("out"))
                        #expect(left.isHarmless(beside: whole), "killed: \(left)")
                    }
                } else {
                    #expect(outcome.status == 0, "\(outcome.error)")
                    break
                }
                more = ["--resume"]
            }
            let last = try Process.run(scene.arguments("out", ["--resume"]))
            resumes += 1
            #expect(last.status == 0, "\(last.error)")
            let now = try Snapshot(scene.work("out"))
            #expect(now == whole, "\(now) after \(kills) kills")
            guard now == whole else { return }
        }
        note(
            "\(kind): \(kills) kills in \(rounds) runs of \(Int(seconds * 1000)) ms; every resumed run has digest \(whole.digest)"
        )
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
    func signalsEndInOrder(_ signal: Int32) throws {
        let scene = try Scene(.select, records: 3000)
        let (whole, _) = try scene.undisturbed()
        let outcome = try #require(try scene.stopped(signal), "20 runs ended before a signal reached them")
        #expect(outcome.status == 128 + signal, "\(outcome.error)")
        #expect(
            outcome.error.contains("The work so far is in \(scene.work("out")); --resume continues it"),
            "\(outcome.error)")
        let resumed = try Process.run(scene.arguments("out", ["--resume"]))
        #expect(resumed.status == 0, "\(resumed.error)")
        #expect(try Snapshot(scene.work("out")) == whole)
    }

    /// A run that reads a pipe and so continues until the pipe is closed: tests needn't hurry.
    private final class Waiting {
        let work: Workspace
        let process: Process
        private let ends: [Int32]

        /// - Parameter ignoring: names of signals that the parent process ignores.
        init(ignoring: String? = nil) throws {
            work = try Workspace()
            try FileSystem.local.write(Array(Case.dedupe.yaml().utf8), to: work("run.yaml"))
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            self.ends = ends
            let arguments = [
                "run", work("run.yaml"), "--input", "-", "--output", work("out"), "--progress", "none",
            ]
            let before = ignoring.map { ["-c", "trap '' \($0); exec \"$0\" \"$@\"", Process.sluice] } ?? []
            process = try Process(
                before + arguments, program: ignoring == nil ? Process.sluice : "/bin/sh", input: ends[0])
            // From here on it receives signals.
            let kept = work("out/work/result/kept.jsonl.zst.partial")
            process.wait { access(kept, F_OK) == 0 }
        }

        deinit { for end in ends { close(end) } }

        /// Writes a record and ends the input.
        func feed() throws {
            _ = "{\"prompt\": 1}\n".withCString { Glibc.write(ends[1], $0, strlen($0)) }
            // This process closes its own reading end, so that no reader waits for it.
            dup2(ends[0], ends[1])
        }
    }

    @Test func aSilentPipeIsNotWaitedFor() throws {
        let run = try Waiting()
        run.process.send(SIGINT)
        let outcome = try run.process.wait()
        #expect(outcome.status == 130, "\(outcome.error)")
        #expect(outcome.error.hasPrefix("sluice: stopped by SIGINT before anything was kept"), "\(outcome.error)")
        #expect(access(run.work("out/work"), F_OK) != 0)
        // The pipe's data is gone, so there is nothing to resume and nothing to refuse.
        let again = try Process.run(
            ["run", run.work("run.yaml"), "--input", "-", "--output", run.work("out"), "--progress", "none"])
        #expect(again.status == 0, "\(again.error)")
    }

    /// What a named pipe has given is gone, too: no message promises to continue, and a resume starts over.
    @Test func aStoppedPipeStartsOver() throws {
        let work = try Workspace()
        let yaml = "sluice: 1\ninput: {files: [\(work("pipe"))]}\noutput: {directory: out}\n"
        try FileSystem.local.write(Array(yaml.utf8), to: work("run.yaml"))
        #expect(mkfifo(work("pipe"), 0o600) == 0)
        let arguments = [
            "run", work("run.yaml"), "--output", work("out"), "--progress", "none", "--block-bytes", "10",
            "--checkpoint-seconds", "0",
        ]
        let process = try Process(arguments)
        let writer = open(work("pipe"), O_WRONLY)
        for number in 0..<100 { _ = "{\"first\": \(number)}\n".withCString { Glibc.write(writer, $0, strlen($0)) } }
        let kept = work("out/work/result/kept.jsonl.zst.partial")
        process.wait { access(kept, F_OK) == 0 }
        process.send(SIGTERM)
        let stopped = try process.wait()
        // Else the next run would wait for more from this writer.
        close(writer)
        #expect(stopped.status == 143, "\(stopped.error)")
        #expect(stopped.error.contains("before anything was kept"), "\(stopped.error)")
        #expect(access(work("out/work"), F_OK) != 0)

        let again = try Process(arguments + ["--resume"])
        let other = open(work("pipe"), O_WRONLY)
        for number in 0..<7 { _ = "{\"second\": \(number)}\n".withCString { Glibc.write(other, $0, strlen($0)) } }
        close(other)
        let outcome = try again.wait()
        #expect(outcome.status == 0 && outcome.error.contains("read 7 = kept 7"), "\(outcome.error)")
    }

    /// `timeout` signals a process and its group, so that two signals arrive microseconds apart; some users press
    /// Ctrl-C twice.
    @Test(arguments: [0, 20, 100, 1_000, 10_000, 100_000, 450_000])
    func twoSignalsEndARunWithItsLastWords(_ microseconds: UInt32) throws {
        for (first, second) in [(SIGTERM, SIGTERM), (SIGINT, SIGTERM)] {
            let run = try Waiting()
            run.process.send(first)
            usleep(microseconds)
            run.process.send(second)
            let outcome = try run.process.wait()
            // Of two signals that wait at the same time, the system may deliver the second one first.
            let either = microseconds < 10_000 ? [first, second] : [first]
            #expect(either.map { 128 + $0 }.contains(outcome.status), "\(outcome.error)")
            #expect(outcome.error.contains("stopped by"), "nothing was said")
            #expect(outcome.error.split(separator: "\n").count == 1, "\(outcome.error)")
        }
    }

    /// A background job, or one under nohup, is not stopped by a signal that its shell makes it ignore.
    @Test func ignoredSignalsStayIgnored() throws {
        let run = try Waiting(ignoring: "INT HUP")
        run.process.send(SIGINT)
        run.process.send(SIGHUP)
        try run.feed()
        let outcome = try run.process.wait()
        #expect(outcome.status == 0, "\(outcome.error)")

        let other = try Waiting(ignoring: "INT HUP")
        other.process.send(SIGTERM)
        #expect(try other.process.wait().status == 143)
    }

    @Test func aSecondProcessIsRefused() throws {
        let first = try Waiting()
        for more in [[], ["--resume"], ["--force"]] {
            let second = try Process.run(
                [
                    "run", first.work("run.yaml"), "--input", "-", "--output", first.work("out"), "--progress", "none",
                ] + more)
            #expect(second.status == 4, "\(more): \(second.error)")
            #expect(
                second.error.contains("another process") && second.error.contains(first.work("out")), "\(second.error)")
        }
        try first.feed()
        let outcome = try first.process.wait()
        #expect(outcome.status == 0, "\(outcome.error)")
        #expect(try Snapshot(first.work("out")).files.count == 4)
    }

    /// The run's output directory is removed while it writes.
    @Test func aRemovedOutputDirectoryIsSaidToBe() throws {
        let run = try Waiting()
        run.work.remove("out")
        try run.feed()
        let outcome = try run.process.wait()
        #expect(outcome.status == 4, "\(outcome.error)")
        #expect(outcome.error.contains("was removed during the run"), "\(outcome.error)")
        #expect(!outcome.error.contains("--resume"), "\(outcome.error)")
    }

    /// Without the plan file, the plan of the work files is unknown.
    @Test func aMissingPlanIsSaidToBe() throws {
        let scene = try Scene(.select, records: 1200)
        let (whole, _) = try scene.undisturbed()
        _ = try #require(try scene.stopped(SIGKILL))
        unlink(scene.work("out/work/plan.json"))
        // Without being asked to, a run throws no work away.
        let refused = try Process.run(scene.arguments("out", []))
        #expect(refused.status == 2 && refused.error.contains("plan.json"), "\(refused.error)")
        #expect(refused.error.contains("--force"), "\(refused.error)")
        let outcome = try Process.run(scene.arguments("out", ["--resume"]))
        #expect(outcome.status == 0, "\(outcome.error)")
        #expect(outcome.error.contains("plan.json is missing or damaged"), "\(outcome.error)")
        #expect(try Snapshot(scene.work("out")) == whole)
    }

    @Test func aResumeOfAnotherPlanIsRefused() throws {
        let scene = try Scene(.select, records: 1200)
        let (whole, _) = try scene.undisturbed()
        _ = try #require(try scene.stopped(SIGKILL))
        func resume(_ more: [String]) throws -> Process.Outcome {
            try Process.run(scene.arguments("out", ["--resume"] + more))
        }
        func expectRefused(_ outcome: Process.Outcome, _ words: String...) {
            #expect(outcome.status == 2, "\(outcome.error)")
            for word in words + ["--force", scene.work("out")] {
                #expect(outcome.error.contains(word), "«\(word)» is missing in: \(outcome.error)")
            }
        }
        expectRefused(try resume(["--seed", "43"]), "seed", "42", "43")
        expectRefused(try resume(["--set", "stages.coreset.keep=50%"]), "keep", "40%", "50%")
        expectRefused(try resume(["--set", "input.dedupe.on=line"]), "dedupe")
        expectRefused(try resume(["--input", scene.work("in-0.jsonl.zst")]), "in-2.jsonl is")

        let input = scene.work("in-2.jsonl")
        let bytes = try FileSystem.local.contents(of: input)
        let modified = try #require(try FileSystem.local.status(of: input)).modified
        func setTime(_ nanoseconds: Int64) {
            let time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
            utimensat(AT_FDCWD, input, [time, time], 0)
        }
        try FileSystem.local.write(bytes + [0x0A], to: input)
        expectRefused(try resume([]), "in-2.jsonl had \(bytes.count) bytes")
        try FileSystem.local.write(bytes, to: input)
        setTime(modified + 1)
        expectRefused(try resume([]), "in-2.jsonl was modified")
        setTime(modified)

        let plan = try FileSystem.local.contents(of: scene.work("out/work/plan.json"))
        let older = String(decoding: plan, as: UTF8.self).replacing(#""sluice": "0."#, with: #""sluice": "9."#)
        try FileSystem.local.write(Array(older.utf8), to: scene.work("out/work/plan.json"))
        expectRefused(try resume([]), "version", "9.")
        try FileSystem.local.write(plan, to: scene.work("out/work/plan.json"))

        // None of this changed the work files.
        #expect(try FileSystem.local.status(of: scene.work("out/work/checkpoint")) != nil)
        let plain = try Process.run(scene.arguments("out"))
        #expect(plain.status == 2)
        #expect(plain.error.contains("--resume") && plain.error.contains("--force"), "\(plain.error)")
        let outcome = try resume([])
        #expect(outcome.status == 0, "\(outcome.error)")
        #expect(try Snapshot(scene.work("out")) == whole)
    }

    @Test func aCompleteRunIsNotResumedAndAMissingOneJustRuns() throws {
        let scene = try Scene(.dedupe, records: 400)
        let (whole, _) = try scene.undisturbed()
        let fresh = try Process.run(scene.arguments("out", ["--resume"]))
        #expect(fresh.status == 0, "\(fresh.error)")
        #expect(try Snapshot(scene.work("out")) == whole)
        let before = try FileSystem.local.status(of: scene.work("out/kept.jsonl.zst"))
        let again = try Process.run(scene.arguments("out", ["--resume"]))
        #expect(again.status == 0)
        #expect(again.error.contains("nothing was done"), "\(again.error)")
        #expect(try FileSystem.local.status(of: scene.work("out/kept.jsonl.zst")) == before)

        // A manifest without its files proves nothing.
        unlink(scene.work("out/kept.jsonl.zst"))
        let mended = try Process.run(scene.arguments("out", ["--resume"]))
        #expect(mended.status == 0, "\(mended.error)")
        #expect(try Snapshot(scene.work("out")) == whole)

        // The lock file of a killed process doesn't block the next one.
        scene.work.remove("out")
        try FileSystem.local.makeFolder(scene.work("out"))
        try FileSystem.local.write([], to: scene.work("out/.sluice.lock"))
        #expect(try Process.run(scene.arguments("out")).status == 0)
        #expect(try Snapshot(scene.work("out")) == whole)

        // A foreign folder is left unchanged.
        try FileSystem.local.makeFolder(scene.work("theirs"))
        try FileSystem.local.write([1], to: scene.work("theirs/file"))
        #expect(try Process.run(scene.arguments("theirs")).status == 2)
        #expect(try FileSystem.local.entries(of: scene.work("theirs")) == ["file"])
    }

    @Test func aFullDiskIsSurvived() throws {
        let scene = try Scene(.select, records: 2000)
        let (whole, _) = try scene.undisturbed()
        try FileSystem.local.makeFolder(scene.work("disk"))
        var survived = 0
        for size in [150, 300, 500, 700, 900] {
            let mounted = try Process.run(
                ["-t", "tmpfs", "-o", "size=\(size)k", "none", scene.work("disk")], program: "mount")
            guard mounted.status == 0 else {
                note("a full disk: skipped, since no tmpfs can be mounted here: \(mounted.error)")
                return
            }
            defer { _ = try? Process.run([scene.work("disk")], program: "umount") }
            let full = try Process.run(scene.arguments("disk/out"))
            guard full.status != 0 else { continue }
            survived += 1
            #expect(full.status == 4, "\(full.error)")
            #expect(full.error.contains("No space left"), "\(full.error)")
            let isKept = access(scene.work("disk/out/work/checkpoint"), F_OK) == 0
            #expect(full.error.contains("--resume") == isKept, "\(full.error)")
            let roomier = try Process.run(["-o", "remount,size=200m", scene.work("disk")], program: "mount")
            #expect(roomier.status == 0, "\(roomier.error)")
            let resumed = try Process.run(scene.arguments("disk/out", ["--resume"]))
            #expect(resumed.status == 0, "\(resumed.error)")
            #expect(try Snapshot(scene.work("disk/out")) == whole)
        }
        note("a full disk: \(survived) runs ended with exit status 4 and went on")
        #expect(survived > 0)
    }
}
