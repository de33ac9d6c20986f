import SluiceCore
import SluiceTesting
import Testing

@testable import Embedder

/// The languages that the card of a model names.
@Suite struct ModelCardTests {
    @Test(arguments: [
        ("---\nlanguage: en\nlicence: mit\n---\n# A model", "en"),
        ("---\r\nlanguage: 'en'\r\n---\r\n", "en"),
        ("---\ntags: [a]\nlanguage: [en, \"de\", zh ]\n---\n", "en, de, zh"),
        ("---\nlanguage:\n- en\n- de\nlicense: mit\n---\n", "en, de"),
        ("---\nlanguage:\n  - multilingual\n---\n", "multilingual"),
        ("---\nlanguage:\n---\n", nil), ("---\nlanguage: []\n---\n", nil),
        ("---\nlicense: mit\n---\nlanguage: en\n", nil), ("language: en\n", nil), ("", nil), ("---", nil),
    ])
    func languagesStandInTheHead(card: String, expected: String?) {
        #expect(ModelCard.languages(inCard: card) == expected)
    }

    @Test func theLanguagesAreAPartOfTheIdentityAndOfThePlan() throws {
        let folder = StaticTests.plain()
        let options = OptionValues(["model": "static", "path": .text(folder.path)])
        #expect(try EmbedStage.make(options).identity()["languages"] == nil)
        folder.write("README.md", "---\nlanguage:\n- fi\n- sv\n---\n")
        let stage = try EmbedStage.make(options)
        #expect(try stage.identity()["languages"] == "fi, sv")
        let plan = try StaticPlan(options: options)
        #expect(plan.notes == ["languages, as the model's README.md says: fi, sv"])
    }
}
