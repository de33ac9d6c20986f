import ArgumentParser
import SluiceCore
import SluiceEngine

struct WhyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why", abstract: "Show what happened to one record of a run, and why.")

    @Argument(help: ArgumentHelp("The output directory of the run.", valueName: "run"), completion: .directory)
    var directory: String

    @Argument(help: ArgumentHelp("The record's file and line, such as data/a.jsonl.zst:17.", valueName: "file:line"))
    var record: String

    @Flag(help: "Print one JSON object instead of sentences.")
    var json = false

    func run() throws {
        guard let colon = record.lastIndex(of: ":"), let line = Int(record[record.index(after: colon)...]) else {
            throw CommandFailure.usage("`\(record)`: give a file and a line, such as data/a.jsonl.zst:17")
        }
        let reader = try RunReader(directory)
        let fate = try reader.fate(file: String(record[..<colon]), line: line)
        if json { return Terminal.json(Self.json(fate).json) }
        Terminal.line(
            Self.words(fate, of: record, blankLines: reader.manifest["counts"]?["blank_lines"]?.integerValue ?? 0))
    }

    private static func json(_ fate: RunReader.Fate) -> JSONValue {
        switch fate {
        case .kept(let entry): .object([.init("fate", "kept")] + (entry?.entries ?? []))
        case .dropped(let entry): .object([.init("fate", "dropped")] + entry.entries)
        case .quarantined(let entry): .object([.init("fate", "quarantined")] + entry.entries)
        }
    }

    private static func words(_ fate: RunReader.Fate, of record: String, blankLines: Int) -> String {
        func place(_ entry: JSONValue?) -> String {
            "\(Printable.name(entry?["file"]?.textValue ?? "?", most: Printable.longestLine)):\(entry?["line"]?.integerValue ?? 0)"
        }
        func numbers(_ entry: JSONValue, except known: [String]) -> [String] {
            entry.entries.filter { !known.contains($0.key) }.map {
                "  \($0.key): \($0.value.textValue ?? $0.value.json)"
            }
        }
        switch fate {
        case .kept(nil):
            // Neither kept records nor blank lines are listed by place.
            let doubt =
                blankLines == 0
                ? "" : " (or is blank: the input has \(blankLines) blank line\(blankLines == 1 ? "" : "s"))"
            return "\(Printable.name(record, most: Printable.longestLine)) was kept\(doubt)"
        case .kept(let entry?):
            return (["\(place(entry)) was kept"] + numbers(entry, except: ["file", "line"])).joined(separator: "\n")
        case .dropped(let entry):
            var lines = [
                "\(place(entry)) was dropped by stage `\(entry["stage"]?.textValue ?? "?")`: \(entry["reason"]?.textValue ?? "?")"
            ]
            if let partner = entry["kept"] { lines.append("  in favour of: \(place(partner))") }
            return (lines + numbers(entry, except: ["file", "line", "stage", "reason", "kept"])).joined(separator: "\n")
        case .quarantined(let entry):
            return
                "\(place(entry)) was quarantined: \(entry["error"]?.textValue ?? "?") (byte \(entry["byte"]?.integerValue ?? 0) of the file)"
        }
    }
}
