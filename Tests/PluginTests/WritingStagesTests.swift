import Glibc
import SluiceCore
import SluiceTesting
import Testing

/// docs/writing-stages.md: its code is that of the example, its stages keep the contract, and it names what it uses.
@Suite struct WritingStagesTests {
    /// A fenced block, with the file that a comment `<!-- from: FILE -->` before it names.
    private struct Block {
        let line: Int
        let language: Substring
        let text: String
        let source: String?
    }

    private static let root = String(#filePath.dropLast("/Tests/PluginTests/WritingStagesTests.swift".count))

    private static func contents(_ path: String) throws -> String {
        let file = try #require(fopen("\(root)/\(path)", "r"), "\(path) is missing")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(byte)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func blocks() throws -> [Block] {
        var blocks: [Block] = []
        var open: (line: Int, language: Substring, lines: [Substring])?
        var source: String?
        let document = try contents("docs/writing-stages.md")
        for (index, line) in document.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if let block = open, line == "```" {
                let text = block.lines.map { $0 + "\n" }.joined()
                blocks.append(Block(line: block.line, language: block.language, text: text, source: source))
                (open, source) = (nil, nil)
            } else if open != nil {
                open?.lines.append(line)
            } else if line.hasPrefix("```") {
                open = (index + 1, line.dropFirst(3), [])
            } else if line.hasPrefix("<!-- from: "), line.hasSuffix(" -->") {
                source = String(line.dropFirst("<!-- from: ".count).dropLast(" -->".count))
            }
        }
        return blocks
    }

    /// Where the package of a newcomer, which lies beside the folder of Sluice and has one stage, differs from the example.
    private static let differences = [
        (#"path: "../sluice""#, #"path: "../..""#), ("../sluice/examples/data", "../data"),
        ("[MinWords.self]", "[MinWords.self, TrimLongest.self, BestOf.self]"),
    ]

    @Test func itsCodeIsThatOfTheFiles() throws {
        let blocks = try Self.blocks()
        for block in blocks where block.language == "swift" || block.language == "yaml" {
            let path = try #require(block.source, "line \(block.line): no comment says from which file the block is")
            var text = block.text
            for (theirs, ours) in Self.differences { text.replace(theirs, with: ours) }
            var rest = try Self.contents(path).split(separator: "\n", omittingEmptySubsequences: false)[...]
            // Whole lines of the file, in its order: a newcomer's package has fewer targets.
            for line in text.split(separator: "\n") {
                let found = rest.firstIndex(of: line)
                #expect(found != nil, "line \(block.line): \(path) does not have this line here: \(line)")
                rest = rest[(found.map { $0 + 1 } ?? rest.startIndex)...]
            }
        }
        for stage in ["MinWords", "TrimLongest", "BestOf"] {
            let path = "examples/custom-stage/Sources/Stages/\(stage).swift"
            let file = try Self.contents(path)
            #expect(blocks.contains { $0.source == path && $0.text == file }, "\(path) does not stand there whole")
            #expect(file.split(separator: "\n", omittingEmptySubsequences: false).count <= 40, "\(path) is too long")
        }
    }

    @Test func itNamesEveryTypeThatItsCodeUses() throws {
        let document = try Self.contents("docs/writing-stages.md")
        let blocks = try Self.blocks()
        var prose = document
        for block in blocks { prose.replace(block.text, with: "") }
        let code = blocks.filter { $0.language == "swift" }.map(\.text).joined()
        let names = [
            "Answers", "AskingMemory", "AskingTransform", "Block", "Column", "ColumnName", "ColumnSpec", "Descriptor",
            "Group", "GroupOutcome", "Grouping", "Groups", "InMemoryRun", "Input", "Measure", "OptionSpec",
            "OptionValues",
            "Quantity", "Selection", "Stage", "StageBody", "StageContext", "StageContract", "StageError", "Survey",
            "SurveyMemory", "SurveyResult", "Transform", "TransformMemory", "WorkerTransform",
        ]
        for name in names {
            #expect(code.contains(name) && prose.contains("`\(name)`"), "`\(name)` is used and not explained")
        }
    }

    @Test func itsOtherStagesKeepTheContract() {
        let texts = (0..<20).map { String(repeating: "of the man ", count: $0 % 4) + "\($0)" }
        let records = texts.map { #"{"prompt": "\#($0)"}"# }
        #expect(
            StageContract.check(
                KnownWords.self, options: ["list": ["the", "of"]], records: records, columns: [.text: .texts(texts)])
                == [])
        #expect(StageContract.check(Judge.self, records: records, columns: [.text: .texts(texts)]) == [])
    }
}
