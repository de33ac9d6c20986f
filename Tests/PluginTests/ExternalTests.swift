import External
import Formatter
import Glibc
import SluiceCore
import SluiceTesting
import Testing

/// `external` with programs in Python under the contract kit.
@Suite struct ExternalTests {
    /// A folder with a program.
    private final class Script {
        let path: String

        init?(_ body: String, _ test: String = #function) {
            guard Script.hasPython else {
                print("skipped: \(test): there is no python3")
                return nil
            }
            var template = Array("/tmp/sluice-external-XXXXXX".utf8CString)
            guard let folder = mkdtemp(&template) else { return nil }
            path = String(cString: folder) + "/stage.py"
            guard let file = fopen(path, "w") else { return nil }
            fputs("import sys, json, os, signal\nhello = json.loads(sys.stdin.readline())\n" + body, file)
            fclose(file)
        }

        deinit {
            unlink(path)
            if let slash = path.lastIndex(of: "/") { rmdir(String(path[..<slash])) }
        }

        var options: OptionValues { ["command": .list(["python3", "-S", .text(path)])] }

        static let hasPython = (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":").contains {
            access("\($0)/python3", X_OK) == 0
        }
    }

    /// Writes every type of column, and drops some.
    private static let everything = """
        print('{"sluice": 1, "ready": true, "name": "everything", "version": "1"}')
        for line in sys.stdin:
            r = json.loads(line)
            text = r["columns"]["text"]
            if len(text) % 5 == 0:
                print(json.dumps({"id": r["id"], "drop": "five", "note": {"length": len(text), "kind": r["record"].get("kind")}}))
                continue
            print(json.dumps({"id": r["id"], "columns": {
                "n": len(text), "share": len(text) / 7, "cut": text[:9], "v": [len(text), 1, -0.5]}}))
        """

    private static let writes: OptionValue = ["n": "integer", "share": "real", "cut": "text", "v": ["vector": 3]]

    @Test(arguments: [nil, 1] as [OptionValue?]) func keepsTheContract(workers: OptionValue?) throws {
        guard let script = Script(Self.everything) else { return }
        var options = script.options
        options["reads"] = ["text", "kind", "score"]
        options["writes"] = Self.writes
        options["workers"] = workers
        #expect(
            StageContract.check(
                ExternalStage.self, options: options, records: EverydayContractTests.records,
                after: [StageSpec("format")],
                registry: Everyday.registry) == [])
    }

    /// A program that ends in the middle, whenever a file lets it, gives the same as one that does not.
    @Test func aRestartChangesNothing() throws {
        let restless = """
            print('{"sluice": 1, "ready": true}')
            for line in sys.stdin:
                r = json.loads(line)
                if r["id"] == 11 and len(os.listdir(hello["options"]["folder"])) < 3:
                    open(hello["options"]["folder"] + "/" + str(os.getpid()), "w")
                    print("{half an ans", end="")
                    sys.stdout.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
                print(json.dumps({"id": r["id"], "columns": {"n": len(r["columns"]["text"])}}))
            """
        guard let script = Script(restless) else { return }
        let folder = script.path + ".died"
        mkdir(folder, 0o777)
        let registry = Everyday.registry.adding(ExternalStage.self)
        func run() throws -> [Column?] {
            let stage = External(
                ["python3", "-S", script.path], reads: ["text"], writes: ["n": "integer"],
                options: ["options": ["folder": .text(folder)], "restarts": 3])
            return [
                try InMemoryRun(
                    [StageSpec("format"), stage], registry: registry, records: EverydayContractTests.records
                )
                .column("n")
            ]
        }
        let restless1 = try run()
        #expect(restless1 == (try run()))
        if case .integers(let values)?? = restless1.first {
            #expect(values.count > 20)
        } else {
            Issue.record("no column")
        }
        let names = try #require(opendir(folder))
        var died = 0
        while let entry = readdir(names) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(".") { continue }
            died += 1
            unlink("\(folder)/\(name)")
        }
        closedir(names)
        rmdir(folder)
        #expect(died == 3)
    }

    /// Fields of every kind, missing ones, the whole record, columns of every type: a program gets them as they are.
    @Test func aProgramGetsWhatTheRecordHas() throws {
        let echo = """
            print('{"sluice": 1, "ready": true}')
            for line in sys.stdin:
                r = json.loads(line)
                print(json.dumps({"id": r["id"], "columns": {"echo": json.dumps(
                    [r["record"], r["columns"], hello["reads"], hello["writes"], hello["options"]], sort_keys=True, ensure_ascii=False)}}))
            """
        guard let script = Script(echo) else { return }
        let registry = Everyday.registry.adding(ExternalStage.self)
        func echoes(_ options: OptionValues) throws -> [JSONValue] {
            let stage = External(
                ["python3", "-S", script.path], reads: options["reads"] == nil ? nil : try options.texts("reads"),
                writes: ["echo": "text"], options: options)
            let run = try InMemoryRun(
                [StageSpec("format", ["template": "{prompt}"]), stage], registry: registry,
                records: [
                    #"{"prompt":"a\u0001\n\"\\é😀","n":12345678901234567890123,"deep":{"b":[1, {"c":null}]},"none":null}"#,
                    #"{"prompt":"x","n":-0}"#,
                ])
            guard case .bytes(let rows)? = run.column("echo") else { return [] }
            return try (0..<rows.count).map { try JSONValue(json: Array(rows[$0])) }
        }
        let parts = try echoes([
            "reads": ["text", "prompt", "deep.b", "none", "missing", "deep"], "options": ["a": [1, "x"]],
        ])
        #expect(parts.count == 2)
        #expect(parts[0].elements[0]["prompt"]?.textValue == "a\u{1}\n\"\\é😀")
        #expect(parts[0].elements[0]["deep.b"]?.json == #"[1,{"c":null}]"#)
        #expect(parts[0].elements[0].entries.map(\.key) == ["deep", "deep.b", "none", "prompt"])
        #expect(parts[0].elements[1].json == #"{"text":"a\u0001\n\"\\é😀"}"#)
        #expect(parts[1].elements[0].json == #"{"prompt":"x"}"#)
        #expect(parts[1].elements[2].json == #"["text","prompt","deep.b","none","missing","deep"]"#)
        #expect(parts[1].elements[3].json == #"{"echo":"text"}"# && parts[1].elements[4].json == #"{"a":[1,"x"]}"#)
        let whole = try echoes(["whole_record": true])
        #expect(whole[1].elements[0].json == #"{"n":0,"prompt":"x"}"#)
        #expect(whole[1].elements[1].json == "{}")
    }

    @Test(
        arguments: [
            (["command": []], "`command` is empty"), (["command": ["x"], "reads": []], "`reads` is empty"),
            (["command": ["x"], "reads": ["a", "a"]], "names one thing twice"),
            (["command": ["x"], "writes": ["a": ["vectors": 3]]], "must be integer, real, text or {vector: 384}"),
            (["command": ["x"], "memory": 1000], "which no program can start with"),
        ] as [(OptionValues, String)])
    func mistakesInOptionsAreNamed(options: OptionValues, message: String) throws {
        let (values, problems) = ExternalStage.descriptor.resolving(options)
        #expect(problems.isEmpty)
        do throws(StageError) {
            _ = try ExternalStage(options: values)
            Issue.record("\(options) is taken")
        } catch { #expect(error.message.contains(message), "\(error.message)") }
    }
}
