import SluiceCore
import SluicePipeline
import Testing

@Suite struct OverrideTests {
    @Test func replacesAndAdds() throws {
        let definition = try parse(
            designExample,
            set: [
                "input.files=a.zst,b.zst", "stages.coreset.keep=1%", "seed=7", "output.directory=x", "output.level=9",
                "stages.3.clusters=auto", "input.dedupe={on: [a, b]}", "stages.redundancy.fields=[p, \"q,r\"]",
                "stages.redundancy.weights={a: 1, b: 5%}", "stages.redundancy.weights.c=2",
                "stages.format.template={prompt}",
                "output.annotate=cluster,rank", "memory=1GiB",
            ])
        #expect(definition.input.files == ["a.zst", "b.zst"])
        #expect(definition.input.dedupe == .fields(["a", "b"]))
        #expect(definition.stages[0].options["template"] == "{prompt}")
        #expect(definition.stages[2].options["clusters"] == "auto")
        #expect(definition.stages[3].options["keep"] == .quantity(Quantity("1%")!))
        #expect(definition.stages[4].options["fields"] == ["p", "q,r"])
        let weights = OptionValue.map([
            "a": .quantity(.count(1)), "b": .quantity(.percent(5)), "c": .quantity(.count(2)),
        ])
        #expect(definition.stages[4].options["weights"] == weights)
        #expect(definition.seed == 7 && definition.memory == 1 << 30)
        #expect(definition.output == OutputSpec(directory: "x", annotate: [.cluster, .rank], level: 9))
    }

    @Test func canTurnOffWhatTheFileSays() throws {
        #expect(try parse(designExample, set: ["input.dedupe=null"]).input.dedupe == nil)
        #expect(try parse(designExample, set: ["input.dedupe.on=line"]).input.dedupe == .line)
    }

    @Test func laterOverridesWin() throws {
        #expect(try parse(designExample, set: ["seed=1", "seed=2"]).seed == 2)
    }

    @Test func stagesOfOneNameAreToldApart() throws {
        let text =
            "sluice: 1\ninput: {files: a}\nstages: [format, embed, redundancy, redundancy: {keep: 1}]\noutput: {directory: o}"
        let definition = try parse(text, set: ["stages.redundancy#1.threshold=0.5", "stages.redundancy#2.threshold=1"])
        #expect(definition.stages[2].options["threshold"] == 0.5 && definition.stages[3].options["threshold"] == 1.0)
        #expect(
            problems(text, set: ["stages.redundancy.keep=8"]) == [
                "--set stages.redundancy.keep=8: 2 stages are called `redundancy`; name one as `redundancy#1`"
            ])
    }

    @Test(arguments: [
        (
            "stages.corset.keep=1%",
            "the definition has no stage `corset`; did you mean `coreset`? (it has `format`, `embed`, `cluster`, `coreset`, `redundancy`)"
        ),
        ("stages.coreset.kep=1%", "unknown option `kep` of stage `coreset`; did you mean `keep`?"),
        (
            "stages.coreset.keep=0.01",
            "option `keep` of stage `coreset` must be a count or percentage, not `0.01`; write 1% for that share"
        ),
        (
            "stages.9.keep=1%",
            "the definition has no stage 9 (it has `format`, `embed`, `cluster`, `coreset`, `redundancy`)"
        ),
        ("stages.coreset#2.keep=1%", "`#2` must be from 1 to 1, the number of stages called `coreset`"),
        ("stages.coreset=1%", "name an option of the stage, as in `stages.coreset.OPTION=…`"),
        ("inptu.files=a", "unknown key `inptu`; did you mean `input`?"),
        ("seed.x=1", "`seed` is `42` and has no keys"),
        ("seed=x", "`seed` must be a whole number from 0 to 18446744073709551615, not `x`"),
        ("output.level=40", "`output.level` is 40 and must be from 1 to 19"),
        ("input.files=", "`files` has no value; give it one or delete it"),
        ("seed", "write it as key=value, such as `--set stages.coreset.keep=1%`"),
        ("a..b=1", "a part of the key is empty"),
    ])
    func mistakesNameTheOverride(text: String, problem: String) {
        #expect(problems(designExample, set: [text]) == ["--set \(text): \(problem)"])
    }

    @Test func otherOptionsOfTheCommandNameThemselves() {
        #expect(
            throws: DefinitionErrors([
                Problem("--seed x: `seed` must be a whole number from 0 to 18446744073709551615, not `x`")
            ])
        ) {
            try DefinitionFile.parse(
                text: designExample, path: "p.yaml", registry: stages,
                overrides: [Override(["seed"], "x", spelling: "--seed x")])
        }
    }
}
