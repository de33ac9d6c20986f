import SluiceCore

/// The fields in which a record stores an exchange.
enum Schema: Sendable, Hashable {
    /// `messages` of role and content, or ShareGPT's `conversations`.
    case chat
    /// A request, perhaps with a context, and a response.
    case request(FieldPath, context: FieldPath?, response: FieldPath)
    /// Plain text.
    case text(FieldPath)

    static let alpaca = Schema.request("instruction", context: "input", response: "output")
    static let promptCompletion = Schema.request("prompt", context: nil, response: "completion")
    static let questionAnswer = Schema.request("question", context: nil, response: "answer")

    /// In the order in which `auto` looks for them.
    static let all: [Schema] = [.chat, promptCompletion, alpaca, questionAnswer, .text("text")]

    var required: [FieldPath] {
        switch self {
        case .chat: [.chat]
        case .request(let request, _, let response): [request, response]
        case .text(let text): [text]
        }
    }

    var paths: [FieldPath] {
        if case .request(let request, let context?, let response) = self {
            [request, context, response]
        } else {
            required
        }
    }
}

/// How an exchange is written as text.
enum Style: Sendable {
    /// The contents separated by blank lines, with no words added.
    case plain
    case alpaca
    case questionAnswer
    case chatML
}

/// One record, whatever its schema.
enum Exchange {
    case turns(ChatTurns)
    case request(ArraySlice<UInt8>, context: ArraySlice<UInt8>?, response: ArraySlice<UInt8>)
    case text(ArraySlice<UInt8>)

    /// Calls `body` for every turn with the pieces of its content, which are separated by blank lines.
    private func forEachTurn(
        _ body: (_ role: ArraySlice<UInt8>, _ content: ArraySlice<UInt8>, _ more: ArraySlice<UInt8>?) -> Void
    ) {
        switch self {
        case .turns(let turns):
            for turn in turns { body(turn.role, turn.content, nil) }
        case .request(let request, let context, let response):
            body(Words.user, request, context)
            body(Words.assistant, response, nil)
        case .text(let text):
            body(Words.assistant, text, nil)
        }
    }

    func write(_ style: Style, to bytes: inout [UInt8]) {
        switch (style, self) {
        case (.alpaca, .request(let instruction, let input, let response)):
            bytes += input == nil ? Words.alpaca : Words.alpacaWithInput
            bytes += instruction
            if let input {
                bytes += Words.alpacaInput
                bytes += input
            }
            bytes += Words.alpacaResponse
            bytes += response
        case (.questionAnswer, .request(let question, _, let answer)):
            bytes += Words.question
            bytes += question
            bytes += Words.answer
            bytes += answer
        case (.chatML, _):
            forEachTurn { role, content, more in
                bytes += Words.turnStart
                bytes += role
                bytes.append(Words.newline)
                bytes += content
                if let more {
                    bytes += Words.blankLine
                    bytes += more
                }
                bytes += Words.turnEnd
            }
        default:
            var isFirst = true
            func add(_ content: ArraySlice<UInt8>) {
                guard !isBlank(content) else { return }
                if !isFirst { bytes += Words.blankLine }
                bytes += content
                isFirst = false
            }
            forEachTurn { _, content, more in
                add(content)
                if let more { add(more) }
            }
        }
    }

    /// A JSON array of objects with `role` and `content`.
    func writeMessages(to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        var isFirst = true
        forEachTurn { role, content, more in
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            bytes += Words.roleKey
            appendEscaped(role, to: &bytes)
            bytes += Words.contentKey
            appendEscaped(content, to: &bytes)
            if let more {
                bytes += Words.escapedBlankLine
                appendEscaped(more, to: &bytes)
            }
            bytes += Words.messageEnd
        }
        bytes.append(UInt8(ascii: "]"))
    }
}

private enum Words {
    static let newline = UInt8(ascii: "\n")
    static let blankLine = Array("\n\n".utf8)
    static let user = ArraySlice("user".utf8)
    static let assistant = ArraySlice("assistant".utf8)
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
    static let roleKey = Array(#"{"role":""#.utf8)
    static let contentKey = Array(#"","content":""#.utf8)
    static let messageEnd = Array(#""}"#.utf8)
    static let escapedBlankLine = Array(#"\n\n"#.utf8)
    static let hexDigits = Array("0123456789abcdef".utf8)
}

/// Nothing but ASCII white space.
func isBlank(_ bytes: ArraySlice<UInt8>) -> Bool {
    bytes.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) }
}

/// Appends the contents of a JSON string, escaping only what must be escaped.
private func appendEscaped(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
    var rest = text
    while let index = rest.firstIndex(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) {
        bytes += rest[..<index]
        bytes.append(UInt8(ascii: "\\"))
        switch rest[index] {
        case UInt8(ascii: "\n"): bytes.append(UInt8(ascii: "n"))
        case UInt8(ascii: "\t"): bytes.append(UInt8(ascii: "t"))
        case UInt8(ascii: "\r"): bytes.append(UInt8(ascii: "r"))
        case let byte where byte >= 0x20: bytes.append(byte)
        case let byte:
            bytes += [UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0")]
            bytes.append(Words.hexDigits[Int(byte >> 4)])
            bytes.append(Words.hexDigits[Int(byte & 15)])
        }
        rest = rest[(index + 1)...]
    }
    bytes += rest
}
