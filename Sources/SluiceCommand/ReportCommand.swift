import ArgumentParser
import SluiceCore
import SluiceEngine
import SluiceIO

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Write a page that shows what runs kept and dropped, and why.",
        usage: "sluice report <run> ... [<options>]",
        discussion: Terminal.help(
            """
            The page is one HTML file that needs no network. Several runs stand side by side. Reads the inputs again, twice if \
            records lost to others, and computes vectors with the run's own stages. What can't be read again is missing from \
            the page, with the reason. docs/report.md explains each figure.
            """))

    @Argument(help: ArgumentHelp("Output directories of runs.", valueName: "run"), completion: .directory)
    var directories: [String]

    @Option(
        name: [.short, .long], help: ArgumentHelp("The page to write; - for standard output.", valueName: "file"),
        completion: .file(extensions: ["html"]))
    var output = "report.html"

    @Option(
        help: ArgumentHelp("Also write everything in the page as JSON; - for standard output.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var data: String?

    @Option(
        help: ArgumentHelp(
            "Count records by this field (default: one that a stage groups by, or that looks like a label).",
            valueName: "field"))
    var label: String?

    @OptionGroup var budget: RunMemoryOption
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        guard !directories.isEmpty else { throw CommandFailure.usage("name at least one output directory") }
        guard output != "-" || data != "-" else {
            throw CommandFailure.usage("--output - and --data - can't both write to standard output")
        }
        for path in [output, data].compactMap(\.self) where path != "-" {
            let folder = Path.folder(of: path)
            guard try FileSystem.local.status(of: folder)?.isFolder == true else {
                throw CommandFailure.usage("\(path): there is no folder \(folder)")
            }
        }
        guard output == "-" || output != data else {
            throw CommandFailure.usage("--output and --data both name \(output); give each a file of its own")
        }
        try refuseForeign(output, unless: ReportPage.beginning, "a page")
        if let data { try refuseForeign(data, unless: Report.beginning, "data") }
        let count = try threads.count()
        let workers = WorkerPool(threads: count)
        defer { workers.stop() }
        var report = Report(runs: [])
        var allowed = 0
        for directory in directories {
            let reader = try RunReader(directory, store: Environment.store)
            let definition = try RunDefinition.read(reader, budget)
            let (run, memory) = try ReportMaker(
                reader: reader, definition: definition, label: label ?? LabelChoice.field(of: definition),
                threads: min(threads.fewest ?? count, count)...count, parallel: workers.parallel,
                isLimited: budget.memory != nil
            ).make()
            report.runs.append(run)
            allowed = max(allowed, memory)
        }
        if let data { try write(report.json.prettyJSON + "\n", to: data) }
        try write(ReportPage(report).html, to: output)
        guard output != "-" else { return }
        Terminal.line("\(output): open it in a browser")
        Terminal.note("peak memory \(MemorySize.describe(peakMemory() ?? 0)) of \(MemorySize.describe(allowed))")
    }

    /// A page may be replaced by a newer one, and data by newer ones, but nothing else by them.
    private func refuseForeign(_ path: String, unless beginning: String, _ what: String) throws {
        guard path != "-", try FileSystem.local.status(of: path) != nil else { return }
        let file = try? FileSystem.local.openInput(path)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 1)
        defer { buffer.deallocate() }
        let count = (try? file?.read(into: buffer)) ?? 0
        guard buffer[..<count].starts(with: beginning.utf8) else {
            throw CommandFailure.usage("\(path) exists and is not \(what) of `sluice report`; name another file")
        }
    }

    private func write(_ text: String, to path: String) throws {
        guard path != "-" else { return Terminal.write(text) }
        do throws(IOFailure) {
            try FileSystem.local.write(Array(text.utf8), to: path)
        } catch {
            throw CommandFailure(status: 4, message: error.description)
        }
    }
}
