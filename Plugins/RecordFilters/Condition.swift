import SluiceCore

/// A condition on a record: comparisons of a field or column, or other conditions combined.
indirect enum Condition: Sendable {
    case all([Condition])
    case any([Condition])
    case not(Condition)
    case test(Operand, [Test])

    /// What is compared. A field of the record, or a column that an earlier stage writes.
    enum Operand: Sendable, Hashable {
        case field(FieldPath)
        case column(ColumnName)

        var input: Input {
            switch self {
            case .field(let path): .field(path)
            case .column(let name): .column(name, [.bytes, .integer, .real])
            }
        }
    }

    enum Test: Sendable {
        case equals([Literal])
        case exists(Bool)
        case above(Number)
        case below(Number)
        case atLeast(Number)
        case atMost(Number)
        case matches(Pattern)
    }

    /// What a value is compared with: a number by its value, all else as it is spelled.
    enum Literal: Sendable, Hashable {
        case number(Number)
        case text([UInt8])
    }

    /// The value of a record.
    enum Value {
        case missing
        case bytes(ArraySlice<UInt8>)
        case number(Number)
    }

    var operands: [Operand] {
        switch self {
        case .all(let conditions), .any(let conditions): conditions.flatMap(\.operands)
        case .not(let condition): condition.operands
        case .test(let operand, _): [operand]
        }
    }

    var hasPattern: Bool {
        switch self {
        case .all(let conditions), .any(let conditions): conditions.contains(where: \.hasPattern)
        case .not(let condition): condition.hasPattern
        case .test(_, let tests): tests.contains { if case .matches = $0 { true } else { false } }
        }
    }

    func holds(_ record: Int, _ values: Values, _ matcher: PatternMatcher?) throws(StageError) -> Bool {
        switch self {
        case .all(let conditions):
            for condition in conditions where !(try condition.holds(record, values, matcher)) { return false }
            return true
        case .any(let conditions):
            for condition in conditions where try condition.holds(record, values, matcher) { return true }
            return false
        case .not(let condition): return !(try condition.holds(record, values, matcher))
        case .test(let operand, let tests):
            let value = values[operand, record]
            for test in tests where !(try test.holds(value, values.ordinals[record], matcher)) { return false }
            return true
        }
    }

    /// The values of a block that conditions ask for.
    struct Values {
        private enum Source {
            case field(FieldColumn)
            case bytes(BytesColumn)
            case integers([Int64])
            case reals([Double])
        }

        let ordinals: [Ordinal]
        private var operands: [Operand] = []
        private var sources: [Source] = []

        init(_ operands: [Operand], of block: borrowing Block) throws(StageError) {
            ordinals = block.ordinals
            for operand in operands where !self.operands.contains(operand) {
                self.operands.append(operand)
                switch operand {
                case .field(let path): sources.append(.field(block.field(path)))
                case .column(let name):
                    switch block[name] {
                    case .integers(let values)?: sources.append(.integers(values))
                    case .reals(let values)?: sources.append(.reals(values))
                    default: sources.append(.bytes(try block.bytes(name)))
                    }
                }
            }
        }

        subscript(operand: Operand, record: Int) -> Value {
            guard let index = operands.firstIndex(of: operand) else { return .missing }
            switch sources[index] {
            case .integers(let values): return .number(.integer(Int(values[record])))
            case .reals(let values): return values[record].isNaN ? .missing : .number(.real(values[record]))
            case .bytes(let values): return .bytes(values[record])
            case .field(let values):
                switch values[record] {
                case .missing, .null: return .missing
                case .string(let bytes), .json(let bytes): return .bytes(bytes)
                case .chat(let turns): return .bytes(turns.encoded)
                }
            }
        }
    }
}

extension Condition.Test {
    /// Whether a value passes. A missing one passes `exists: false` and nothing else.
    func holds(_ value: Condition.Value, _ ordinal: Ordinal, _ matcher: PatternMatcher?) throws(StageError) -> Bool {
        if case .missing = value {
            if case .exists(false) = self { return true }
            return false
        }
        switch self {
        case .exists(let expected): return expected
        case .equals(let literals): return literals.contains { $0.equals(value) }
        case .above(let limit): return value.number.map { $0.order(limit) > 0 } ?? false
        case .below(let limit): return value.number.map { $0.order(limit) < 0 } ?? false
        case .atLeast(let limit): return value.number.map { $0.order(limit) >= 0 } ?? false
        case .atMost(let limit): return value.number.map { $0.order(limit) <= 0 } ?? false
        case .matches(let pattern):
            guard let matcher else { return false }
            switch value {
            case .missing: return false
            case .bytes(let bytes): return try matcher.matches(pattern, bytes, ordinal)
            case .number(let number): return try matcher.matches(pattern, ArraySlice(number.spelling.utf8), ordinal)
            }
        }
    }
}

extension Condition.Value {
    /// The number that the value is or spells.
    var number: Number? {
        switch self {
        case .missing: nil
        case .number(let number): number
        case .bytes(let bytes): Number(spelled: bytes)
        }
    }
}

extension Condition.Literal {
    func equals(_ value: Condition.Value) -> Bool {
        switch (self, value) {
        case (.number(let number), _): value.number.map { $0.order(number) == 0 } ?? false
        case (.text(let text), .bytes(let bytes)): text.count == bytes.count && bytes.elementsEqual(text)
        case (.text(let text), .number(let number)): Array(number.spelling.utf8) == text
        case (.text, .missing): false
        }
    }
}

extension Number {
    /// As JSON spells it.
    var spelling: String {
        switch self {
        case .integer(let value): String(value)
        case .real(let value): value.description
        }
    }
}
