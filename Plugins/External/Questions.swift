import SluiceCore

/// What a program gets of each record, and how it is written.
struct Questions: Sendable {
    /// A part of a record, with its name.
    struct Part: Sendable {
        enum Place: Sendable {
            case field(FieldPath)
            case column(ColumnName)
        }

        let place: Place
        /// The name as a JSON key, with the colon.
        let key: [UInt8]

        init(_ place: Place, _ name: String) {
            self.place = place
            var bytes: [UInt8] = []
            JSONValue.text(name).write(to: &bytes)
            key = bytes + [UInt8(ascii: ":")]
        }
    }

    let fields: [Part]
    let columns: [Part]
    let sendsRecord: Bool

    var inputs: [Input] {
        (fields + columns).map { part in
            switch part.place {
            case .field(let path): .field(path)
            case .column(let name): .column(name, .any)
            }
        } + (sendsRecord ? [.record] : [])
    }
}

/// Writes the records of a block as lines for a program.
struct QuestionWriter {
    private enum Values {
        case field(FieldColumn)
        case column(Column)
    }

    private let questions: Questions
    private let fields: [Values]
    private let columns: [Values]
    private let lines: BytesColumn?

    init(_ questions: Questions, _ block: borrowing Block) throws(ProgramFailure) {
        self.questions = questions
        lines = questions.sendsRecord ? block.lines : nil
        var fields: [Values] = []
        for case .field(let path) in questions.fields.map(\.place) { fields.append(.field(block.field(path))) }
        var columns: [Values] = []
        for case .column(let name) in questions.columns.map(\.place) {
            guard let column = block[name] else {
                throw .refused(StageError(.fault, "there is no column `\(name)`"))
            }
            columns.append(.column(column))
        }
        (self.fields, self.columns) = (fields, columns)
    }

    /// Writes the line of a record, through `out`.
    ///
    /// - Parameter more: how many records of the batch come after it.
    func write(_ record: Int, id: Int, more: Int, to out: inout Exchange) throws(ProgramFailure) {
        out.buffer.append(Literal.id)
        out.buffer.append(decimal: Int64(id))
        out.buffer.append(Literal.more)
        out.buffer.append(decimal: Int64(more))
        if let lines {
            out.buffer.append(Literal.record)
            try out.put(lines[record], as: .json)
        } else {
            out.buffer.append(Literal.record)
            out.buffer.append(UInt8(ascii: "{"))
            try write(fields, questions.fields, record, to: &out)
            out.buffer.append(UInt8(ascii: "}"))
        }
        out.buffer.append(Literal.columns)
        try write(columns, questions.columns, record, to: &out)
        out.buffer.append(Literal.end)
    }

    private func write(
        _ values: [Values], _ parts: [Questions.Part], _ record: Int, to out: inout Exchange
    ) throws(ProgramFailure) {
        var isFirst = true
        for (value, part) in zip(values, parts) {
            if case .field(let column) = value, case .missing = column[record] { continue }
            if !isFirst { out.buffer.append(UInt8(ascii: ",")) }
            isFirst = false
            out.buffer.append(part.key)
            switch value {
            case .field(let column): try write(column[record], to: &out)
            case .column(let column): try write(column, record, to: &out)
            }
        }
    }

    private func write(_ value: FieldValue, to out: inout Exchange) throws(ProgramFailure) {
        switch value {
        case .missing, .null: out.buffer.append(Literal.null)
        case .string(let bytes): try out.put(bytes, as: .text)
        case .json(let bytes): try out.put(bytes, as: .json)
        case .chat(let turns): try out.put(turns.encoded, as: .text)
        }
    }

    private func write(_ column: Column, _ record: Int, to out: inout Exchange) throws(ProgramFailure) {
        switch column {
        case .bytes(let rows): try out.put(rows[record], as: .text)
        case .integers(let values): out.buffer.append(decimal: values[record])
        case .reals(let values):
            // The shortest text that reads back as the same number.
            let value = values[record]
            out.buffer.append(value.isFinite ? Array(value.description.utf8) : Literal.null)
        case .vectors(let rows):
            out.buffer.append(UInt8(ascii: "["))
            for (place, value) in rows[record].enumerated() {
                if place > 0 { out.buffer.append(UInt8(ascii: ",")) }
                out.buffer.append(decimal: Int64(value))
            }
            out.buffer.append(UInt8(ascii: "]"))
        }
    }
}

private enum Literal {
    static let id = Array(#"{"id":"#.utf8)
    static let more = Array(#","more":"#.utf8)
    static let record = Array(#","record":"#.utf8)
    static let columns = Array(#","columns":{"#.utf8)
    static let end = Array("}}\n".utf8)
    static let null = Array("null".utf8)
}
