import SluiceCore

/// Reads conditions from an option, and says where in it a mistake is.
struct ConditionReader {
    /// The option, for messages.
    let option: String

    /// Deeper ones are most likely a mistake of the program that wrote the definition.
    private static let deepest = 32
    private static let tests = ["equals", "in", "above", "below", "at_least", "at_most", "exists", "matches"]
    private static let keys = ["field", "column", "all", "any", "not"] + tests

    /// One condition, or a list of them.
    func conditions(_ value: OptionValue) throws(StageError) -> [Condition] {
        guard case .list(let values) = value else { return [try condition(value, option, depth: 1)] }
        guard !values.isEmpty else {
            throw wrong(option, "is empty; give a condition, such as `{field: lang, equals: en}`")
        }
        return try list(values, option, depth: 1)
    }

    private func list(_ values: [OptionValue], _ place: String, depth: Int) throws(StageError) -> [Condition] {
        var conditions: [Condition] = []
        for (index, value) in values.enumerated() {
            conditions.append(try condition(value, "\(place)[\(index + 1)]", depth: depth))
        }
        return conditions
    }

    private func wrong(_ place: String, _ message: String) -> StageError { .option(option, "`\(place)` \(message)") }

    private func condition(_ value: OptionValue, _ place: String, depth: Int) throws(StageError) -> Condition {
        guard depth <= Self.deepest else { throw wrong(place, "is nested deeper than \(Self.deepest) levels") }
        guard case .map(let entries) = value else {
            throw wrong(place, "must be a condition such as `{field: lang, equals: en}`, not `\(value.report.json)`")
        }
        for key in entries.keys.sorted() where !Self.keys.contains(key) {
            let near = Registry.nearest(to: key, in: Self.keys).map { "did you mean `\($0)`?" }
            throw wrong(
                place, "has the unknown key `\(key)`; \(near ?? "known are \(Self.keys.joined(separator: ", "))")")
        }
        for key in ["all", "any", "not"] {
            guard let inner = entries[key] else { continue }
            guard entries.count == 1 else { throw wrong(place, "has `\(key)` and other keys; give each its own map") }
            if key == "not" { return .not(try condition(inner, "\(place).not", depth: depth + 1)) }
            guard case .list(let values) = inner, !values.isEmpty else {
                throw wrong("\(place).\(key)", "must be a list of conditions")
            }
            let conditions = try list(values, "\(place).\(key)", depth: depth + 1)
            return key == "all" ? .all(conditions) : .any(conditions)
        }
        let operand = try operand(entries, place)
        var tests: [Condition.Test] = []
        for key in Self.tests {
            if let value = entries[key] { tests.append(try test(key, value, "\(place).\(key)")) }
        }
        guard !tests.isEmpty else {
            throw wrong(place, "says nothing about its value; add one of \(Self.tests.joined(separator: ", "))")
        }
        return .test(operand, tests)
    }

    private func operand(_ entries: [String: OptionValue], _ place: String) throws(StageError) -> Condition.Operand {
        switch (entries["field"], entries["column"]) {
        case (.text(let name)?, nil): return .field(FieldPath(name))
        case (nil, .text(let name)?): return .column(ColumnName(name))
        case (nil, nil): throw wrong(place, "needs `field` or `column`: what it compares")
        case (_?, _?): throw wrong(place, "has `field` and `column`; remove one of them")
        default: throw wrong(place, "must name its field or column as text, in quotes if it is a number")
        }
    }

    private func test(_ key: String, _ value: OptionValue, _ place: String) throws(StageError) -> Condition.Test {
        switch key {
        case "equals": return .equals([try literal(value, place)])
        case "in":
            guard case .list(let values) = value, !values.isEmpty else {
                throw wrong(place, "must be a list of values")
            }
            var literals: [Condition.Literal] = []
            for value in values { literals.append(try literal(value, place)) }
            return .equals(literals)
        case "exists":
            guard case .flag(let expected) = value else { throw wrong(place, "must be true or false") }
            return .exists(expected)
        case "matches":
            guard case .text(let text) = value else {
                throw wrong(place, "must be a regular expression, in quotes: \(value.report.json)")
            }
            do throws(Pattern.Mistake) { return .matches(try Pattern(text)) } catch {
                throw wrong(place, "is no valid pattern: \(error.message), at character \(error.character)")
            }
        default:
            let limit: Number
            switch value {
            case .integer(let number): limit = .integer(number)
            case .real(let number): limit = .real(number)
            default: throw wrong(place, "must be a number, not `\(value.report.json)`")
            }
            return key == "above"
                ? .above(limit)
                : key == "below"
                    ? .below(limit)
                    : key == "at_least" ? .atLeast(limit) : .atMost(limit)
        }
    }

    private func literal(_ value: OptionValue, _ place: String) throws(StageError) -> Condition.Literal {
        switch value {
        case .text(let text): return .text(Array(text.utf8))
        case .integer(let number): return .number(.integer(number))
        case .real(let number): return .number(.real(number))
        case .flag(let flag): return .text(Array((flag ? "true" : "false").utf8))
        case .quantity, .list, .map: throw wrong(place, "must be a text, a number, true or false")
        }
    }
}
