import CYAML

/// libyaml's parser, event by event. Lines and columns count from 1, columns in Unicode scalars.
struct YAMLParser: ~Copyable {
    struct Mark: Hashable {
        var line: Int
        var column: Int

        init(_ mark: yaml_mark_t) {
            line = mark.line + 1
            column = mark.column + 1
        }
    }

    enum Event {
        case documentStart
        case documentEnd
        case streamEnd
        case scalar(String, quoted: Bool, anchor: String?)
        case sequenceStart(anchor: String?)
        case sequenceEnd
        case mapStart(anchor: String?)
        case mapEnd
        case alias(String)
    }

    /// Why a text is no YAML, in libyaml's words.
    struct Failure: Error {
        let message: String
        /// What was being read, and where that began.
        let context: (text: String, mark: Mark)?
        let mark: Mark?
        /// The byte that can't be read at all, where that is the trouble.
        let offset: Int?
    }

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let bytes: UnsafeMutableBufferPointer<UInt8>

    init(_ text: String) {
        parser = .allocate(capacity: 1)
        yaml_parser_initialize(parser)
        let utf8 = Array(text.utf8)
        bytes = .allocate(capacity: utf8.count)
        _ = bytes.initialize(from: utf8)
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, bytes.baseAddress, bytes.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        bytes.deallocate()
    }

    /// The next event that matters, and where it begins.
    mutating func next() throws(Failure) -> (event: Event, mark: Mark) {
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(parser, &event) == 1 else { throw failure() }
            defer { yaml_event_delete(&event) }
            if let known = Self.event(event) { return (known, Mark(event.start_mark)) }
        }
    }

    private static func event(_ event: yaml_event_t) -> Event? {
        switch event.type {
        case YAML_STREAM_END_EVENT: .streamEnd
        case YAML_DOCUMENT_START_EVENT: .documentStart
        case YAML_DOCUMENT_END_EVENT: .documentEnd
        case YAML_SCALAR_EVENT:
            .scalar(
                String(
                    decoding: UnsafeBufferPointer(start: event.data.scalar.value, count: event.data.scalar.length),
                    as: UTF8.self),
                quoted: event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE, anchor: text(event.data.scalar.anchor))
        case YAML_SEQUENCE_START_EVENT: .sequenceStart(anchor: text(event.data.sequence_start.anchor))
        case YAML_SEQUENCE_END_EVENT: .sequenceEnd
        case YAML_MAPPING_START_EVENT: .mapStart(anchor: text(event.data.mapping_start.anchor))
        case YAML_MAPPING_END_EVENT: .mapEnd
        case YAML_ALIAS_EVENT: .alias(text(event.data.alias.anchor) ?? "")
        default: nil
        }
    }

    private static func text(_ pointer: UnsafeMutablePointer<UInt8>?) -> String? {
        pointer.map { String(cString: $0) }
    }

    private func failure() -> Failure {
        let state = parser.pointee
        let message = state.problem.map { String(cString: $0) } ?? "it can't be read"
        guard state.error != YAML_READER_ERROR else {
            return Failure(message: message, context: nil, mark: nil, offset: state.problem_offset)
        }
        let context = state.context.map { (String(cString: $0), Mark(state.context_mark)) }
        return Failure(message: message, context: context, mark: Mark(state.problem_mark), offset: nil)
    }
}
