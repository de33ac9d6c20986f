import SluiceCore
import SluicePipeline
import Testing

@Suite struct DamagedDefinitionTests {
    @Test func aliasesThatMultiplyAreRefused() {
        let laughs = (1...9).map {
            "a\($0): &a\($0) [\(Array(repeating: $0 == 1 ? "x" : "*a\($0 - 1)", count: 10).joined(separator: ", "))]"
        }
        let found = problems("sluice: 1\n" + laughs.joined(separator: "\n"))
        #expect(
            found.count == 1 && found[0].hasSuffix("the definition has more than 100000 values"), "\(found.prefix(3))")
    }

    @Test func anchorsAreRead() throws {
        let text =
            "sluice: 1\ninput: {files: &f [a, b]}\nstages: [format, embed, redundancy: {fields: *f}]\noutput: {directory: o}"
        #expect(try parse(text).stages[2].options["fields"] == ["a", "b"])
    }

    /// With any part of a definition removed, repeated or inserted, the answer is a definition, or mistakes with
    /// places.
    @Test func damageGivesMistakesWithPlaces() {
        let scalars = Array(designExample.unicodeScalars)
        let extras: [[Unicode.Scalar]] = [
            "{", "}", "[", "]", ":", "- ", "\n", "\t", "\"", "'", "#", "&a ", "*a", "!!", "? ", "|", "%", "é",
        ]
        .map { Array(($0 as String).unicodeScalars) }
        var generator = SplitMix64(state: 5)
        for _ in 0..<3_000 {
            var text = scalars
            for _ in 0...generator.next(below: 3) {
                let place = Int(generator.next(below: UInt64(text.count)))
                let length = min(text.count - place, Int(generator.next(below: 12)))
                switch generator.next(below: 3) {
                case 0: text.removeSubrange(place..<(place + length))
                case 1: text.insert(contentsOf: extras[Int(generator.next(below: UInt64(extras.count)))], at: place)
                default:
                    text.insert(
                        contentsOf: text[place..<(place + length)], at: Int(generator.next(below: UInt64(text.count))))
                }
                if text.isEmpty { text = ["a"] }
            }
            var damaged = String.UnicodeScalarView()
            damaged.append(contentsOf: text)
            let lines = text.count { $0 == "\n" } + 1
            do throws(DefinitionErrors) {
                _ = try DefinitionFile.parse(text: String(damaged), path: "p.yaml", registry: stages)
            } catch {
                #expect(!error.problems.isEmpty)
                for problem in error.problems {
                    #expect((1...(lines + 1)).contains(problem.place?.line ?? 0), "\(problem)\n\(String(damaged))")
                }
            }
        }
    }
}
