public import SluiceCore

extension FormatStage {
    public func apply(to block: inout Block) throws(StageError) {
        let room = room(for: block)
        var made = Made(messages: writes.count > 1 && block.isWanted(.messages) ? BytesColumn() : nil)
        made.text.reserve(rows: block.count, bytes: room)
        if block.count == 1 { made.messages?.reserve(rows: 1, bytes: room) }
        switch layout {
        case .schemas(let schemas, let style): apply(schemas, style, to: &block, &made)
        case .template(let template, let turns): apply(template, turns, to: &block, &made)
        }
        block.write(.text, .bytes(made.text))
        if let messages = made.messages { block.write(.messages, .bytes(messages)) }
    }

    /// The columns of a block as they are made.
    private struct Made {
        var text = BytesColumn()
        var messages: BytesColumn?

        init(messages: BytesColumn?) { self.messages = messages }

        /// The row of a record that has been dropped.
        mutating func skip() {
            text.append([])
            messages?.append([])
        }
    }

    private func apply(_ schemas: [Schema], _ style: Style, to block: inout Block, _ made: inout Made) {
        let reader = ExampleReader(schemas: schemas, form: toolForm)
        var values = FieldValues(Field.allCases.filter { paths.contains($0.path) }, of: block)
        let lines = carry == nil ? nil : block.lines
        var example = Example()
        for record in 0..<block.count {
            guard block.isLive(record) else {
                made.skip()
                continue
            }
            values.record = record
            do throws(Misfit) {
                try reader.read(values, into: &example)
                if let lines, let name = collision(example, lines[record]) { throw Misfit("name-taken", name) }
            } catch {
                made.skip()
                block.drop(record, reason: error.reason, measures: error.measures)
                continue
            }
            made.text.appendRow { example.write(style, to: &$0) }
            made.messages?.appendRow { write(example, lines?[record], to: &$0) }
        }
    }

    /// A carried field whose name is taken by what `example` writes.
    private func collision(_ example: Example, _ line: ArraySlice<UInt8>) -> String? {
        carry?.collision(in: line, used: { isUsed($0, example) }, taken: { example.writes($0) })
    }

    private func isUsed(_ name: [UInt8], _ example: Example) -> Bool {
        Self.fieldNames.contains { $0.bit & example.used != 0 && $0.name == name }
    }

    private static let fieldNames = Field.allCases.map { (name: Array($0.name.utf8), bit: $0.bit) }

    /// Appends the row of `messages`: an array of messages or, if there is more to write, an object.
    private func write(_ example: Example, _ line: ArraySlice<UInt8>?, to bytes: inout [UInt8]) {
        let start = bytes.count
        example.write(toolForm, asObject: example.hasMore || carry != nil, to: &bytes)
        if let carry, let line { carry.write(from: line, used: { isUsed($0, example) }, to: &bytes) }
        if bytes[start] == UInt8(ascii: "{") { bytes.append(UInt8(ascii: "}")) }
    }

    private func apply(_ template: Template, _ turns: Template.Turns?, to block: inout Block, _ made: inout Made) {
        let parts = [template] + (turns?.all ?? [])
        let columns = parts.map { part in part.fields.map { block.field($0.path) } }
        var values = parts.map { [ArraySlice<UInt8>?](repeating: nil, count: $0.fields.count) }
        let lines = carry == nil ? nil : block.lines
        let used = Self.names(turns)
        for record in 0..<block.count {
            guard block.isLive(record) else {
                made.skip()
                continue
            }
            var example = Example()
            do throws(Misfit) {
                try Self.fill(&values, of: parts, record, columns, canBeEmpty: turns?.system == nil ? nil : 1)
                if let carry, let lines {
                    let name = carry.collision(
                        in: lines[record], used: { used.contains($0) }, taken: { example.writes($0) })
                    if let name { throw Misfit("name-taken", name) }
                }
            } catch {
                made.skip()
                block.drop(record, reason: error.reason, measures: error.measures)
                continue
            }
            made.text.appendRow { template.write(values[0], to: &$0) }
            guard made.messages != nil, let turns else { continue }
            for (index, turn) in turns.all.enumerated() {
                let isThere = values[index + 1].contains { $0 != nil }
                guard isThere else { continue }
                var text: [UInt8] = []
                turn.write(values[index + 1], to: &text)
                example.turns.append(.plain(turns.speakers[index], text[...]))
            }
            made.messages?.appendRow { bytes in
                example.write(toolForm, asObject: carry != nil, to: &bytes)
                guard let carry, let lines else { return }
                carry.write(from: lines[record], used: { used.contains($0) }, to: &bytes)
                bytes.append(UInt8(ascii: "}"))
            }
        }
    }

    /// The names of the fields that turns are made of.
    private static func names(_ turns: Template.Turns?) -> Set<[UInt8]> {
        Set((turns?.all ?? []).flatMap(\.fields).map(\.path.keys).filter { $0.count == 1 }.map { Array($0[0].utf8) })
    }

    /// Looks up the fields of every part of a template.
    ///
    /// - Parameter canBeEmpty: the part whose fields may all be missing.
    private static func fill(
        _ values: inout [[ArraySlice<UInt8>?]], of parts: [Template], _ record: Int, _ columns: [[FieldColumn]],
        canBeEmpty: Int?
    ) throws(Misfit) {
        for part in parts.indices {
            for (index, field) in parts[part].fields.enumerated() {
                values[part][index] = try FieldValues.text(
                    columns[part][index][record], field.path.description, isOptional: field.isOptional)
            }
            if part != canBeEmpty, values[part].allSatisfy({ $0 == nil }) { throw Misfit("empty-text") }
        }
    }

    /// Bytes to reserve for the texts of a block. A record alone in its block may be very long: reserve room for its
    /// largest result at once, since a growing array briefly exists twice and unfilled pages take no memory.
    private func room(for block: borrowing Block) -> Int {
        guard block.count == 1 else { return block.count * 512 }
        let fields = paths.reduce(0) { sum, path in
            switch block.field(path)[0] {
            case .missing, .null: sum
            case .string(let bytes), .json(let bytes): sum + bytes.count
            case .chat(let turns): sum + turns.encoded.count
            }
        }
        // JSON escapes turn one byte into two. A control character takes six, but it took as many in the record, so a record
        // full of them has short fields.
        var repeats = 2
        if case .template(let template, _) = layout { repeats = max(repeats, most { template.count(of: $0) }) }
        let carried = carry == nil ? 0 : block.lines?.bytes.count ?? 0
        return 4096 + repeats * fields + carried
    }
}
