import Glibc
import SluiceCore
import Testing

/// `sluice schema` and `plan --resolved`: what the program prints, by a JSON Schema validator that isn't ours, and read again.
@Suite struct SchemaTests {
    private static let examples = ["ltd.yaml", "lift.yaml", "doit.yaml", "everyday.yaml", "quickstart.yaml"]

    /// Validates definitions. YAML 1.1 reads the key `on` as true.
    private static let validator = """
        import json, sys, yaml
        from jsonschema import Draft202012Validator
        def keys(value):
            if isinstance(value, dict):
                return {"on" if key is True else key: keys(item) for key, item in value.items()}
            return [keys(item) for item in value] if isinstance(value, list) else value
        schema = json.load(open(sys.argv[1]))
        Draft202012Validator.check_schema(schema)
        for path in sys.argv[2:]:
            faults = list(Draft202012Validator(schema).iter_errors(keys(yaml.safe_load(open(path)))))
            print(path.split("/")[-1], "wrong" if faults else "right", *(fault.message[:300] for fault in faults[:1]))
        """

    @Test func theSchemaKnowsDefinitionsAndMistakes() throws {
        let space = try Workspace()
        guard try Program.run(["python3", "-c", "import jsonschema, yaml"], program: "/usr/bin/env").status == 0
        else { return skip("python3 has no jsonschema and yaml") }
        let schema = try space.sluice("schema")
        #expect(schema.status == 0)
        try space.write("schema.json", schema.output)
        try space.write("validate.py", Self.validator)
        let head = "sluice: 1\ninput: {files: [a.jsonl], dedupe: {on: [a, b]}}\noutput: {directory: out}\n"
        let right = [
            head,
            head
                + "stages: [format, {embed: null}, {coreset: {keep: 5%}}, {mixture: {keep: 10, per: x, quota: {a: 3, rest: equal}}}]\n",
            head
                + "memory: 1.5GiB\noutputs: {a: {where: rank < 3}, b: null, c: {ladder: x4}, d: {ladder: [10, 5%], order: {by: s}}}\n",
        ]
        let wrong = [
            "sluice: 2\n", head + "stagess: []\n", head + "stages: [{coreset: {}}]\n",
            head + "stages: [{coreset: {keep: 5%, per: 3}}]\n", head + "stages: [coreset]\n",
            head + "stages: [nothing]\n",
            head + "stages: [{embed: {dimensions: many}}]\n", head + "outputs: {a: {wher: x}}\n",
            head + "memory: much\n",
        ]
        var arguments = ["validate.py", "schema.json"]
        for (index, text) in (right + wrong).enumerated() {
            try space.write("\(index).yaml", text)
            arguments.append("\(index).yaml")
        }
        arguments += Self.examples.map { "\(projectFolder)/examples/\($0)" }
        let found = try Program.run(["python3"] + arguments, program: "/usr/bin/env", in: space.path)
        #expect(found.status == 0, "\(found.errorText)")
        let lines = text(found.output).split(separator: "\n")
        #expect(lines.count == right.count + wrong.count + Self.examples.count)
        for (index, line) in lines.enumerated() {
            let isWrong = right.count..<(right.count + wrong.count) ~= index
            #expect(line.contains(isWrong ? " wrong" : " right"), "\(line)")
        }
    }

    /// A resolved definition gives the plan of the one that it was made of.
    @Test(arguments: examples)
    func resolvedDefinitionsAreTheSamePlan(name: String) throws {
        let folder = "\(projectFolder)/examples"
        let space = try Workspace()
        // Names of files in the definition's folder stay relative to it.
        #expect(symlink("\(folder)/data", space("data")) == 0)
        let set = ["--output", space("out")]
        let resolved = try space.sluice(["plan", "\(folder)/\(name)", "--resolved"] + set)
        #expect(resolved.status == 0, "\(resolved.errorText)")
        try space.write("again.yaml", resolved.output)
        let again = try space.sluice(["plan", "again.yaml", "--resolved"] + set)
        #expect(text(again.output).split(separator: "\n").count == text(resolved.output).split(separator: "\n").count)
        let (a, b) = (
            try space.sluice(["plan", "\(folder)/\(name)"] + set), try space.sluice(["plan", "again.yaml"] + set)
        )
        #expect(a.status == 0 && b.status == 0, "\(b.errorText)")
        #expect(text(a.output) == text(b.output))
    }
}
