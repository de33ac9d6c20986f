import SluiceCore

/// A transform: drops texts with too few words, and writes the number of words of each.
public struct MinWords: Stage, Transform {
    public static let descriptor = Descriptor(
        name: "min-words", summary: "Drops records whose text has fewer words than `least`.",
        options: [
            OptionSpec("least", .integer(1...1_000_000), default: 5, help: "least number of words", example: "20")
        ])

    private let least: Int

    public init(options: OptionValues) throws(StageError) { least = try options.integer("least") }

    public var reads: [Input] { [.column(.text, .bytes)] }
    public var writes: [ColumnSpec] { [ColumnSpec("words", .integer)] }

    public func apply(to block: inout Block) throws(StageError) {
        let text = try block.bytes(.text)
        var words = [Int64](repeating: 0, count: block.count)
        for record in block.live {
            let count = text[record].split(whereSeparator: { $0 == 0x20 || (0x09...0x0D).contains($0) }).count
            words[record] = Int64(count)
            if count < least {
                block.drop(record, reason: "too-few-words", measures: [Measure("words", .integer(count))])
            }
        }
        block.write("words", .integers(words))
    }
}
