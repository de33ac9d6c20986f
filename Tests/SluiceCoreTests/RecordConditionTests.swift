import SluiceCore
import Testing

/// Conditions on records: read, written, and decided like their plain meaning.
@Suite struct RecordConditionTests {
    private func holds(_ condition: String, _ values: [String: RecordValue]) throws -> Bool {
        try RecordCondition(condition).holds { values[$0] ?? .missing }
    }

    @Test(arguments: [
        ("rank < 64", true), ("rank < 7", false), ("rank <= 7", true), ("rank >= 8", false), ("rank > 6.5", true),
        ("rank == 7", true), ("rank == 7.0", true), ("rank == \"7\"", false), ("rank != 7", false),
        ("rank in [1, 7]", true),
        ("lang == en", true), ("lang == \"en\"", true), ("lang == 'en'", true), ("lang != de", true),
        ("lang < 3", false),
        ("lang in [de, fr]", false), ("lang not in [de, fr]", true), ("lang exists", true), ("not lang exists", false),
        ("nothing exists", false), ("not nothing exists", true), ("nothing == 1", false), ("nothing != 1", false),
        ("not nothing == 1", true), ("spelled > 4", true), ("spelled == 5", true), ("spelled == 5.0", true),
        ("big == 9007199254740993", true), ("big == 9007199254740992", false), ("meta.ok == true", true),
        ("`a b` == x", true), ("lang == en and rank == 8", false), ("lang == en and rank == 8 or rank == 7", true),
        ("lang == en and (rank == 8 or rank == 7)", true), ("not (lang == en or rank == 8)", false),
        ("score > -1e3 and score < .5", false), ("score > -1e3 and score < 0.5", true), ("list == [1,2]", false),
    ])
    func decidesAsItReads(condition: String, expected: Bool) throws {
        let values: [String: RecordValue] = [
            "rank": .integer(7), "lang": .text(Array("en".utf8)), "spelled": .text(Array("5".utf8)),
            "big": .json(Array("9007199254740993".utf8)), "meta.ok": .json(Array("true".utf8)), "score": .real(0.25),
            "a b": .text(Array("x".utf8)), "list": .json(Array("[1,2]".utf8)),
        ]
        guard let found = try? holds(condition, values) else {
            // The two that are no conditions.
            #expect(["score > -1e3 and score < .5", "list == [1,2]"].contains(condition))
            return
        }
        #expect(found == expected)
    }

    /// Random conditions are the same when they are written and read again, and decide alike.
    @Test func writtenConditionsReadBack() throws {
        var draws = SplitMix64(state: 5)
        let names = ["a", "b.c", "with blank", "and"]
        func literal() -> String { ["1", "-2.5", "en", "\"x \\\" y\"", "'7'"][Int(draws.next(below: 5))] }
        func make(_ depth: Int) -> String {
            switch depth > 0 ? draws.next(below: 8) : draws.next(below: 5) {
            case 0: return "`\(names[Int(draws.next(below: 4))])` <= \(Int(draws.next(below: 9)))"
            case 1: return "`\(names[Int(draws.next(below: 4))])` == \(literal())"
            case 2: return "`\(names[Int(draws.next(below: 4))])` not in [\(literal()), \(literal())]"
            case 3: return "`\(names[Int(draws.next(below: 4))])` exists"
            case 4: return "a > 3"
            case 5: return "(\(make(depth - 1)) and \(make(depth - 1)))"
            case 6: return "(\(make(depth - 1)) or \(make(depth - 1)))"
            default: return "not (\(make(depth - 1)))"
            }
        }
        let values: [RecordValue] = [
            .missing, .integer(1), .integer(5), .real(-2.5), .text(Array("en".utf8)), .text(Array("7".utf8)),
            .json(Array("7".utf8)),
        ]
        for _ in 0..<500 {
            let text = make(3)
            let condition = try RecordCondition(text)
            let again = try RecordCondition(condition.description)
            #expect(again.description == condition.description, "\(text)")
            for _ in 0..<10 {
                var record: [String: RecordValue] = [:]
                for name in names { record[name] = values[Int(draws.next(below: UInt64(values.count)))] }
                let (a, b) = (condition.holds { record[$0] ?? .missing }, again.holds { record[$0] ?? .missing })
                #expect(a == b, "\(text) \(record)")
            }
        }
    }

    @Test(arguments: [
        ("", "it is empty"), ("rank", "after `rank` comes <, <=, >, >=, ==, !=, in, not in or exists"),
        ("rank = 3", "`=` is written `==`"), ("rank < en", "`<` compares numbers, and en is none"),
        ("rank < ", "a value is missing after `<`"), ("(a exists", "a `)` is missing"),
        ("a exists b exists", "`b` is left over; join two tests by `and` or `or`"),
        ("a in en", "`in` needs a list, such as `in [en, de]`"), ("a in [en", "a `]` is missing"),
        ("a == \"en", "the closing \" is missing"), ("a == 1 and", "a column or field is missing at its end"),
        ("a not b", "`not` after `a` needs `in`"), ("== 3", "`==` stands where a column or field should"),
        ("\"my field\" == 3", "\"my field\" is a text; a name with blanks stands in backquotes: `my field`"),
        ("a & b", "after `a` comes <, <=, >, >=, ==, !=, in, not in or exists"),
    ])
    func mistakesSayWhatIsWrong(condition: String, message: String) {
        #expect(throws: RecordCondition.Mistake(message: message)) { try RecordCondition(condition) }
    }

    @Test func nestingEnds() {
        let deep = String(repeating: "(", count: 100_000) + "a exists"
        #expect(throws: RecordCondition.Mistake(message: "it is nested more than 32 deep")) {
            try RecordCondition(deep)
        }
        let denied = String(repeating: "not ", count: 100_000) + "a exists"
        #expect(throws: RecordCondition.Mistake(message: "it is nested more than 32 deep")) {
            try RecordCondition(denied)
        }
    }

    @Test func templatesNameColumnsAndFields() throws {
        #expect(try RecordTemplate(text: "{a.b}") == .value("a.b"))
        #expect(try RecordTemplate(text: "x {a} {{y}}") == .text([.literal("x "), .name("a"), .literal(" {y}")]))
        #expect(try RecordTemplate(text: "") == .text([]))
        for (text, message) in [
            ("{a", "the `{` before `a` has no `}`; write `{{` for a brace"),
            ("a}", "a `}` has no `{` before it; write `}}` for a brace"),
            ("{}", "`{}` has no name; write `{{}}` for two braces"),
        ] {
            #expect(throws: RecordTemplate.Mistake(message: message)) { try RecordTemplate(text: text) }
        }
    }

    @Test func rungsOfALadderGrowToAll() throws {
        #expect(SinkLadder.steps(from: 10, times: 4).rungs(of: 700) == [10, 40, 160, 640, 700])
        #expect(SinkLadder.steps(from: 10, times: 4).rungs(of: 640) == [10, 40, 160, 640])
        #expect(SinkLadder.steps(from: 10, times: .max).rungs(of: 700) == [10, 700])
        #expect(SinkLadder.steps(from: 10, times: 2).rungs(of: 0) == [0])
        let sizes = try [#require(Quantity("10%")), .count(5), .count(5), .count(9000)]
        #expect(SinkLadder.sizes(sizes).rungs(of: 200) == [5, 20, 200])
    }
}
