/// The name, summary and options of a stage: drives parsing, checking, `sluice stages` and the reference.
public struct Descriptor: Sendable {
    /// The stage's name in a definition: a lower-case verb or noun, hyphenated.
    public let name: String
    /// One line.
    public let summary: String
    /// Paper, method and cost, if one line is not enough.
    public let discussion: String
    public let options: [OptionSpec]

    public init(name: String, summary: String, discussion: String = "", options: [OptionSpec] = []) {
        self.name = name
        self.summary = summary
        self.discussion = discussion
        self.options = options
    }

    /// `values` with defaults for the missing options.
    public func fillingDefaults(in values: OptionValues) -> OptionValues {
        var values = values
        for option in options where values[option.name] == nil {
            values[option.name] = option.defaultValue
        }
        return values
    }
}

/// One option of a stage.
public struct OptionSpec: Sendable {
    public let name: String
    public let kind: OptionKind
    /// The value if the option is not given; nil with `isRequired` false means that the option stays absent.
    public let defaultValue: OptionValue?
    public let isRequired: Bool
    public let help: String
    /// A value as written in a definition.
    public let example: String
    /// For paths: whether the files may be so large that reading them once more to identify them would cost too much. One
    /// of more than 64 MiB is then known by its size and a sample of its pages, and `run.json` says so.
    public let isLarge: Bool

    public init(
        _ name: String, _ kind: OptionKind, default defaultValue: OptionValue? = nil, isRequired: Bool = false,
        help: String, example: String = "", isLarge: Bool = false
    ) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.isRequired = isRequired
        self.help = help
        self.example = example
        self.isLarge = isLarge
    }
}

/// The values that an option takes.
public indirect enum OptionKind: Sendable, Hashable {
    case text
    /// The path of a file or directory; a relative one in a YAML definition is relative to the definition's file.
    case path
    /// A word of a command line. If a file of that name is there, relative to the definition's file, the word stands for its
    /// path, and the file's content counts as part of the definition; otherwise it is text. A path has a `/`.
    case word
    /// The name of a column that an earlier stage writes; the stage declares it in its `reads`.
    case column(ColumnKind)
    /// The name of a column that the stage writes.
    case newColumn
    /// The name of a column of integers or bytes that an earlier stage writes, or of a field; the stage declares it in
    /// its `reads` as `.label`.
    case label
    case integer(ClosedRange<Int>)
    case real(ClosedRange<Double>)
    case flag
    /// `10000` or `5%`.
    case quantity
    /// `512MiB`, `64KiB`: an integer of bytes.
    case size
    /// One of these words.
    case choice([String])
    case list(OptionKind)
    /// Values of this kind by name: `{ethics: 64, rest: 5%}`.
    case map(OptionKind)
    /// The first of these kinds that accepts the value.
    case either([OptionKind])
    /// Text, numbers, flags, and lists and maps of these to any depth: for options with a grammar of their own, such as
    /// nested conditions. The stage checks what is in them.
    case tree

    /// In words, for messages and help.
    public var description: String {
        switch self {
        case .text: return "text"
        case .path: return "path"
        case .word: return "words of a command line"
        case .column(let kind): return "name of a column of \(kind.words)"
        case .newColumn: return "name of a new column"
        case .label: return "name of a column of integers or bytes, or of a field"
        case .integer(let range):
            if range.upperBound == .max {
                return range.lowerBound == .min ? "whole number" : "whole number from \(range.lowerBound)"
            }
            return "whole number from \(range.lowerBound) to \(range.upperBound)"
        case .real(let range):
            return range.upperBound == .infinity
                ? (range.lowerBound == -.infinity ? "number" : "number from \(range.lowerBound)")
                : "number from \(range.lowerBound) to \(range.upperBound)"
        case .flag: return "true or false"
        case .quantity: return "count or percentage"
        case .size: return "size such as 64MiB"
        case .choice(let words): return words.count == 1 ? words[0] : "one of " + words.joined(separator: ", ")
        case .list(let kind): return "list of \(kind.description)"
        case .map(let kind): return "map from names to \(kind.description)"
        case .either(let kinds): return kinds.map(\.description).joined(separator: ", or ")
        case .tree: return "value, list or map"
        }
    }

    /// Whether a value may be the name of a column.
    package var namesColumns: Bool {
        switch self {
        case .column, .label: true
        case .list(let kind), .map(let kind): kind.namesColumns
        case .either(let kinds): kinds.contains(where: \.namesColumns)
        default: false
        }
    }
}
