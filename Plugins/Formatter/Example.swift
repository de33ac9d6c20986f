import SluiceCore

/// A run of turns of an exchange, in a field of a record.
struct Segment {
    enum Form {
        /// One turn of plain text, and more of it after a blank line.
        case plain(Speaker, more: ArraySlice<UInt8>?)
        /// A list of turns, or one turn.
        case turns
        /// Alpaca's `history`: pairs of request and response.
        case history
    }

    let form: Form
    /// Characters of a plain turn, else JSON.
    let bytes: ArraySlice<UInt8>
    /// The turns of a list that belong to the segment.
    var turns = 0..<Int.max

    static func plain(_ speaker: Speaker, _ text: ArraySlice<UInt8>, more: ArraySlice<UInt8>? = nil) -> Segment {
        Segment(form: .plain(speaker, more: more), bytes: text)
    }
}

/// One record, whatever its schema.
struct Example {
    /// The turns; of a pair those before the answers.
    var turns: [Segment] = []
    /// The two answers of a pair, else empty.
    var chosen: [Segment] = []
    var rejected: [Segment] = []
    var isPair = false
    /// `tools`, as JSON in a list or as characters of a string.
    var tools: FieldValue = .missing
    var parallelToolCalls: ArraySlice<UInt8>?
    /// Whether contents stay lists of parts: some part is more than text.
    var keepsParts = false
    /// The fields that it is made of, by their bits.
    var used: UInt32 = 0

    mutating func clear() {
        turns.removeAll(keepingCapacity: true)
        chosen.removeAll(keepingCapacity: true)
        rejected.removeAll(keepingCapacity: true)
        (isPair, tools, parallelToolCalls, keepsParts, used) = (false, .missing, nil, false, 0)
    }
}

// MARK: Messages

extension Example {
    /// The names of the entries that are written before carried ones.
    func writes(_ name: some Sequence<UInt8>) -> Bool {
        func isName(_ word: StaticString) -> Bool {
            name.elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
        }
        // A field of this name that is no list of tools would be taken for one.
        if isName("tools") { return true }
        if isName("parallel_tool_calls") { return parallelToolCalls != nil }
        guard isPair else { return isName("messages") }
        return isName("chosen") || isName("rejected") || isName("prompt") && !turns.isEmpty
    }

    /// Whether the record is more than a list of messages.
    var hasMore: Bool { isPair || tools != .missing || parallelToolCalls != nil }

    /// Appends the messages as a JSON array or, if there is more, the entries of a JSON object without its last brace.
    func write(_ form: ToolForm, asObject: Bool, to bytes: inout [UInt8]) {
        if isPair {
            bytes.append(UInt8(ascii: "{"))
            if !turns.isEmpty {
                bytes.append(contentsOf: #""prompt":"#.utf8)
                writeMessages(turns, form, to: &bytes)
                bytes.append(UInt8(ascii: ","))
            }
            bytes.append(contentsOf: #""chosen":"#.utf8)
            writeMessages(chosen, form, to: &bytes)
            bytes.append(contentsOf: #","rejected":"#.utf8)
            writeMessages(rejected, form, to: &bytes)
        } else {
            if asObject { bytes.append(contentsOf: #"{"messages":"#.utf8) }
            writeMessages(turns, form, to: &bytes)
        }
        writeTools(form, to: &bytes)
        if let parallelToolCalls {
            bytes.append(contentsOf: #","parallel_tool_calls":"#.utf8)
            bytes.append(contentsOf: parallelToolCalls)
        }
    }

    private func writeTools(_ form: ToolForm, to bytes: inout [UInt8]) {
        switch tools {
        case .json(let list):
            bytes.append(contentsOf: #","tools":"#.utf8)
            if form == .objects {
                bytes.append(contentsOf: list)
            } else {
                bytes.append(UInt8(ascii: "\""))
                appendEscaped(list, to: &bytes)
                bytes.append(UInt8(ascii: "\""))
            }
        case .string(let text):
            bytes.append(contentsOf: #","tools":"#.utf8)
            if form == .objects {
                _ = text.withUnsafeBufferPointer { EmbeddedJSON.append($0, to: &bytes) }
            } else {
                bytes.append(UInt8(ascii: "\""))
                appendEscaped(text, to: &bytes)
                bytes.append(UInt8(ascii: "\""))
            }
        case .missing, .null, .chat: break
        }
    }

    private func writeMessages(_ segments: [Segment], _ form: ToolForm, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        var isFirst = true
        func next(_ bytes: inout [UInt8]) {
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
        }
        for segment in segments {
            switch segment.form {
            case .plain(let speaker, let more):
                next(&bytes)
                bytes.append(contentsOf: #"{"role":""#.utf8)
                bytes.append(speaker.role)
                bytes.append(contentsOf: #"","content":""#.utf8)
                appendEscaped(segment.bytes, to: &bytes)
                if let more {
                    bytes.append(contentsOf: #"\n\n"#.utf8)
                    appendEscaped(more, to: &bytes)
                }
                bytes.append(contentsOf: #""}"#.utf8)
            case .turns:
                segment.bytes.withUnsafeBufferPointer { json in
                    let list = TurnList(json)
                    list.forEach { index, turn in
                        guard segment.turns.contains(index) else { return }
                        next(&bytes)
                        list.write(turn, form, joinsParts: !keepsParts, to: &bytes)
                    }
                }
            case .history:
                segment.forEachPast { speaker, json, text in
                    next(&bytes)
                    bytes.append(contentsOf: #"{"role":""#.utf8)
                    bytes.append(speaker.role)
                    bytes.append(contentsOf: #"","content":"#.utf8)
                    bytes.append(contentsOf: json[text])
                    bytes.append(UInt8(ascii: "}"))
                }
            }
        }
        bytes.append(UInt8(ascii: "]"))
    }
}

extension Segment {
    /// Calls `body` with the strings of a history that has been checked, and who says them.
    func forEachPast(_ body: (Speaker, UnsafeBufferPointer<UInt8>, Span) -> Void) {
        bytes.withUnsafeBufferPointer { json in
            json.forEachElement(Span(start: 0, end: json.count)) { _, pair in
                json.forEachElement(pair) { index, text in body(index == 0 ? .user : .assistant, json, text) }
            }
        }
    }
}

// MARK: Text

/// Writes pieces of text that blank lines separate.
private struct Pieces {
    private var isFirst = true

    /// Adds what `write` appends, unless it is blank.
    mutating func add(to bytes: inout [UInt8], _ write: (inout [UInt8]) -> Void) {
        let before = bytes.count
        if !isFirst { bytes.append(contentsOf: "\n\n".utf8) }
        let start = bytes.count
        write(&bytes)
        if isBlank(bytes[start...]) { bytes.removeLast(bytes.count - before) } else { isFirst = false }
    }
}

extension Example {
    private var spoken: [Segment] { isPair ? turns + chosen : turns }

    /// Appends the text that stands for the record. Of a pair it has the prompt and the chosen answer.
    func write(_ style: Style, to bytes: inout [UInt8]) {
        switch style {
        case .plain: writePlain(spoken, to: &bytes)
        case .chatML: for segment in spoken { segment.writeChatML(to: &bytes) }
        case .alpaca, .questionAnswer:
            // The request and the response are the last two; before them are a system text and a history.
            guard turns.count >= 2, case .plain(.user, let input) = turns[turns.count - 2].form else {
                return writePlain(turns, to: &bytes)
            }
            let start = bytes.count
            writePlain(turns.dropLast(2), to: &bytes)
            if bytes.count > start { bytes.append(contentsOf: "\n\n".utf8) }
            let (request, response) = (turns[turns.count - 2].bytes, turns[turns.count - 1].bytes)
            if style == .alpaca {
                bytes.append(contentsOf: input == nil ? Words.alpaca : Words.alpacaWithInput)
                bytes.append(contentsOf: request)
                if let input {
                    bytes.append(contentsOf: Words.alpacaInput)
                    bytes.append(contentsOf: input)
                }
                bytes.append(contentsOf: Words.alpacaResponse)
            } else {
                bytes.append(contentsOf: Words.question)
                bytes.append(contentsOf: request)
                bytes.append(contentsOf: Words.answer)
            }
            bytes.append(contentsOf: response)
        }
    }

    private func writePlain(_ segments: some Sequence<Segment>, to bytes: inout [UInt8]) {
        var pieces = Pieces()
        for segment in segments {
            switch segment.form {
            case .plain(_, let more):
                pieces.add(to: &bytes) { $0.append(contentsOf: segment.bytes) }
                if let more { pieces.add(to: &bytes) { $0.append(contentsOf: more) } }
            case .turns:
                segment.bytes.withUnsafeBufferPointer { json in
                    let list = TurnList(json)
                    list.forEach { index, turn in
                        guard segment.turns.contains(index) else { return }
                        list.forEachPiece(turn) { pieces.add(to: &bytes, $0) }
                    }
                }
            case .history:
                segment.forEachPast { _, json, text in
                    pieces.add(to: &bytes) { json.spelling(text).appendUnescaped(to: &$0) }
                }
            }
        }
    }
}

extension Segment {
    fileprivate func writeChatML(to bytes: inout [UInt8]) {
        func begin(_ speaker: Speaker, _ bytes: inout [UInt8]) {
            bytes.append(contentsOf: Words.turnStart)
            bytes.append(speaker.role)
            bytes.append(UInt8(ascii: "\n"))
        }
        switch form {
        case .plain(let speaker, let more):
            begin(speaker, &bytes)
            bytes.append(contentsOf: self.bytes)
            if let more {
                bytes.append(contentsOf: "\n\n".utf8)
                bytes.append(contentsOf: more)
            }
            bytes.append(contentsOf: Words.turnEnd)
        case .turns:
            self.bytes.withUnsafeBufferPointer { json in
                let list = TurnList(json)
                list.forEach { index, turn in
                    guard turns.contains(index) else { return }
                    bytes.append(contentsOf: Words.turnStart)
                    list.appendRole(turn, to: &bytes)
                    bytes.append(UInt8(ascii: "\n"))
                    let isOnlyContent = turn.reasoning == nil && turn.calls == nil && turn.functionCall == nil
                    var pieces = Pieces()
                    list.forEachPiece(turn) { write in
                        // A content on its own stays as it is, white space and all.
                        if isOnlyContent, list.speaker(turn) != .call {
                            write(&bytes)
                        } else {
                            pieces.add(to: &bytes, write)
                        }
                    }
                    bytes.append(contentsOf: Words.turnEnd)
                }
            }
        case .history:
            forEachPast { speaker, json, text in
                begin(speaker, &bytes)
                json.spelling(text).appendUnescaped(to: &bytes)
                bytes.append(contentsOf: Words.turnEnd)
            }
        }
    }
}

private enum Words {
    static let alpaca = Array(
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n"
            .utf8)
    static let alpacaWithInput = Array(
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\n"
            .utf8)
    static let alpacaInput = Array("\n\n### Input:\n".utf8)
    static let alpacaResponse = Array("\n\n### Response:\n".utf8)
    static let question = Array("Question: ".utf8)
    static let answer = Array("\nAnswer: ".utf8)
    static let turnStart = Array("<|im_start|>".utf8)
    static let turnEnd = Array("<|im_end|>\n".utf8)
}
