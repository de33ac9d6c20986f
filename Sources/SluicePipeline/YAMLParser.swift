import CYAML

/// libyaml's parser, event by event. Lines and columns count from 1, columns in Unicode scalars.
struct YAMLParser: ~Copyable {
    struct Mark: Hashable {
        var line: Int
        var column: Int

        init(_ mark: sluice_yaml_mark) {
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

    /// Why a text is not YAML, in libyaml's words.
    struct Failure: Error {
        let message: String
        /// What the parser was reading, and where that began.
        let context: (text: String, mark: Mark)?
        let mark: Mark?
        /// The offset of the byte that is not valid text, if that is the reason.
        let offset: Int?
    }

    /// Nil if memory ran out; then there are no events.
    private let yaml: OpaquePointer?
    private let bytes: UnsafeMutableBufferPointer<UInt8>

    init(_ text: String) {
        let utf8 = Array(text.utf8)
        bytes = .allocate(capacity: utf8.count)
        _ = bytes.initialize(from: utf8)
        yaml = sluice_yaml_create(bytes.baseAddress, bytes.count)
    }

    deinit {
        sluice_yaml_destroy(yaml)
        bytes.deallocate()
    }

    /// The next event that matters, and where it begins.
    mutating func next() throws(Failure) -> (event: Event, mark: Mark) {
        guard let yaml else {
            throw Failure(message: "there is not enough memory to read it", context: nil, mark: nil, offset: 0)
        }
        while true {
            var event = sluice_yaml_event()
            var failure = sluice_yaml_failure()
            guard sluice_yaml_next(yaml, &event, &failure) == 1 else { throw Self.describe(failure) }
            if let known = Self.event(event) { return (known, Mark(event.start)) }
        }
    }

    private static func event(_ event: sluice_yaml_event) -> Event? {
        let anchor = event.anchor.map { String(cString: $0) }
        switch event.kind {
        case SLUICE_YAML_STREAM_END: return .streamEnd
        case SLUICE_YAML_DOCUMENT_START: return .documentStart
        case SLUICE_YAML_DOCUMENT_END: return .documentEnd
        case SLUICE_YAML_SCALAR:
            let text = String(decoding: UnsafeBufferPointer(start: event.text, count: event.length), as: UTF8.self)
            return .scalar(text, quoted: event.quoted != 0, anchor: anchor)
        case SLUICE_YAML_SEQUENCE_START: return .sequenceStart(anchor: anchor)
        case SLUICE_YAML_SEQUENCE_END: return .sequenceEnd
        case SLUICE_YAML_MAP_START: return .mapStart(anchor: anchor)
        case SLUICE_YAML_MAP_END: return .mapEnd
        case SLUICE_YAML_ALIAS: return .alias(anchor ?? "")
        default: return nil
        }
    }

    private static func describe(_ failure: sluice_yaml_failure) -> Failure {
        let message = failure.problem.map { String(cString: $0) } ?? "it can't be read"
        guard failure.unreadable == 0 else {
            return Failure(message: message, context: nil, mark: nil, offset: failure.offset)
        }
        return Failure(
            message: message, context: failure.context.map { (String(cString: $0), Mark(failure.context_mark)) },
            mark: Mark(failure.mark), offset: nil)
    }
}
