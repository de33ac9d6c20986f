import ArgumentParser
import SluiceCore
import SluiceEngine

struct ShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Look at records after any stage, with the columns they have there.",
        usage: "sluice show <file> [--after <stage>] [<options>]",
        discussion: """
            Runs the definition over the first records in a temporary folder, up to the stage, and shows some of them: the \
            fields of the record, then what stages have written about it. Nothing is written where the definition says.
            """)

    @OptionGroup var source: DefinitionOptions
    @OptionGroup var threads: ThreadOptions

    @Option(
        help: ArgumentHelp("The last stage that runs, such as embed or embed#2 (default: all).", valueName: "stage"))
    var after: String?

    @Option(help: ArgumentHelp("How many records to read, from the first on.", valueName: "count"))
    var limit = 1000

    @Option(help: ArgumentHelp("How many of them to show.", valueName: "count"))
    var count = 5

    @Flag(help: "Show records that are dropped or malformed, each with its reason.")
    var dropped = false

    @Flag(help: "Show texts in full length.")
    var full = false

    @Flag(help: "Print JSON lines: file, line, record, columns, or what became of it.")
    var json = false

    func run() throws {
        guard limit > 0, count > 0 else { throw CommandFailure.usage("--limit and --count must be at least 1") }
        var definition = try source.definition(limit: String(limit))
        if let after {
            guard let shorter = definition.ending(after: after) else {
                throw CommandFailure.usage("--after \(after): \(Self.stages(of: definition))")
            }
            definition = shorter
        }
        var options = try threads.options(for: definition)
        options.isStopped = Signals.isStopped
        Signals.install(LastWords(directory: nil))
        let preview = try Preview(definition, registry: Environment.registry, options: options)
        defer { preview.close() }
        var shown = 0
        try preview.forEach { record in
            var isKept = false
            if case .kept = record.fate { isKept = true }
            guard isKept != dropped else { return true }
            show(record)
            shown += 1
            return shown < count
        }
        if !json { summarize(preview.manifest, shown) }
    }

    private static func stages(of definition: Definition) -> String {
        let names = definition.stages.map(\.name)
        guard !names.isEmpty else { return "the definition has no stages" }
        return "the definition has no such stage; its stages are \(names.joined(separator: ", "))"
    }

    // MARK: Records

    private func show(_ record: Preview.Record) {
        let value = try? JSONValue(json: record.bytes)
        let text = String(decoding: record.bytes, as: UTF8.self)
        guard !json else {
            var entries: [JSONValue.Entry] = [
                .init("file", .text(record.file)), .init("line", .integer(record.line)),
                .init("record", value ?? .text(text)),
            ]
            switch record.fate {
            case .kept: entries.append(.init("columns", record.columns))
            case .dropped(let entry), .quarantined(let entry):
                entries += entry.entries.filter { !["file", "line", "raw", "base64"].contains($0.key) }
            }
            return Terminal.json(JSONValue.object(entries).json)
        }
        Terminal.line("── \(Printable.name(record.file, most: 60)):\(record.line)")
        let fields = value?.entries ?? [.init("line", .text(text))]
        let width = (fields.map(\.key) + record.columns.entries.map(\.key)).map { min(20, $0.count) }.max() ?? 0
        for entry in fields { line(" ", entry, width) }
        for entry in record.columns.entries { line("+", entry, width) }
        switch record.fate {
        case .kept: break
        case .dropped(let entry):
            let measures = entry.entries.filter { !["file", "line", "stage", "reason", "kept"].contains($0.key) }
            let figures = measures.map { ", \($0.key) \($0.value.textValue ?? $0.value.json)" }.joined()
            let partner = entry["kept"].map {
                ", in favour of \($0["file"]?.textValue ?? "?"):\($0["line"]?.integerValue ?? 0)"
            }
            Terminal.line(
                "- dropped by `\(entry["stage"]?.textValue ?? "?")`: \(entry["reason"]?.textValue ?? "?")\(partner ?? "")\(figures)"
            )
        case .quarantined(let entry): Terminal.line("- malformed: \(entry["error"]?.textValue ?? "?")")
        }
        Terminal.line()
    }

    /// A field or a column, on a line or two unless all of it is wanted.
    private func line(_ mark: String, _ entry: JSONValue.Entry, _ width: Int) {
        let key = Printable.name(entry.key, most: 20)
        let padding = String(repeating: " ", count: max(0, width - key.count))
        var text = entry.value.textValue ?? entry.value.json
        if !full {
            let most = max(40, 2 * (Terminal.columns(of: .output) - width - 4))
            let flat = text.prefix(most * 2).map { $0.isNewline ? "⏎" : String($0) }.joined()
            let isCut = flat.count > most || text.count > most * 2
            text = isCut ? "\(flat.prefix(most - 1))…" : flat
        }
        Terminal.hanging("\(mark) \(key)\(padding)  ", text)
    }

    private func summarize(_ manifest: JSONValue, _ shown: Int) {
        let counts = manifest["counts"]
        func count(_ key: String) -> Int { counts?[key]?.integerValue ?? 0 }
        let place = after.map { " after `\($0)`" } ?? ""
        Terminal.note("\(Format.count(count("kept"))) of \(Format.count(count("read"))) records are kept\(place)")
        for stage in manifest["stages"]?.elements ?? [] {
            let drops = (stage["dropped"]?.entries ?? []).filter { $0.value.integerValue ?? 0 > 0 }
            guard !drops.isEmpty, let name = stage["stage"]?.textValue else { continue }
            let reasons = drops.map { "\($0.key) \(Format.count($0.value.integerValue ?? 0))" }
            Terminal.note("  \(name) drops \(reasons.joined(separator: ", "))")
        }
        if count("quarantined") > 0 { Terminal.note("  malformed \(Format.count(count("quarantined")))") }
        if !dropped, count("kept") < count("read") { Terminal.note("--dropped shows those that are not kept") }
        if shown == 0 { Terminal.note("there is none to show") }
    }
}
