package import SluiceCore
import SluiceIO

/// What a definition does to records, one by one: their fates, and the columns of those that are kept.
///
/// Runs the definition in a temporary folder. For few records: `InputSpec.limit` says how many.
package struct Preview {
    /// A record of the input.
    package struct Record {
        /// The name of its file, and its line.
        package let file: String
        package let line: Int
        /// As it is in the input.
        package let bytes: [UInt8]
        package let fate: RunReader.Fate
        /// What stages have written about it; empty unless it is kept.
        package let columns: JSONValue
    }

    private let folder: TemporaryFolder
    private let definition: Definition
    private let catalog: InputCatalog
    private let reader: RunReader
    /// `run.json`.
    package var manifest: JSONValue { reader.manifest }

    /// Runs the definition.
    ///
    /// - Throws: what a run throws.
    package init(_ definition: Definition, registry: Registry, options: RunOptions) throws {
        folder = try TemporaryFolder()
        do {
            var run = definition.withoutExtras
            run.output.record = .original
            run.output.template = nil
            run.output.directory = "\(folder.path)/out"
            run.output.annotate = try StageChain(run.withoutAnnotations, registry: registry).written.filter {
                if case .vector = $0.type { false } else { true }
            }.map(\.name)
            catalog = try InputCatalog(run.input, store: options.inputs)
            // Columns in the records take memory that the definition itself need not have.
            run.memory = max(
                run.memory, try StageChain(run, registry: registry).smallestBudget(run, threads: options.threads))
            var options = options
            options.store = catalog.store
            // The catalog ends there already, and a stream can't be read once more.
            run.input.limit = nil
            _ = try Run(run, registry: registry, options: options).run()
            reader = try RunReader(run.output.directory)
            self.definition = run
        } catch {
            folder.remove()
            throw error
        }
    }

    package func close() { folder.remove() }

    /// Calls `body` for each record in input order, until it returns false.
    package func forEach(_ body: (Record) throws -> Bool) throws {
        let dropped = try places(in: ResultFile.ledger)
        let malformed = try places(in: ResultFile.quarantine)
        let kept = try LineCursor("\(definition.output.directory)/kept.jsonl", .local)
        var goesOn = true
        for file in catalog.files where goesOn {
            try catalog.store.forEachLine(of: file.path, maxRecord: definition.input.maxRecord) { place in
                let line = Int(place.number)
                let found = fate(dropped[file.name]?[line], malformed[file.name]?[line])
                var columns: JSONValue = [:]
                if case .kept = found, let bytes = try kept.next() {
                    columns = (try? JSONValue(json: Array(bytes.dropLast())))?[KeptEncoder.annotationKey] ?? [:]
                }
                goesOn = try body(
                    Record(file: file.name, line: line, bytes: Array(place.bytes), fate: found, columns: columns))
                return goesOn
            }
        }
    }

    private func fate(_ dropped: JSONValue?, _ malformed: JSONValue?) -> RunReader.Fate {
        dropped.map { .dropped($0) } ?? malformed.map { .quarantined($0) } ?? .kept(nil)
    }

    /// The entries of a ledger or a quarantine by file and line.
    private func places(in name: String) throws -> [String: [Int: JSONValue]] {
        let lines = try LineCursor(reader.file(name), .local)
        var found: [String: [Int: JSONValue]] = [:]
        while let bytes = try lines.next() {
            let entry = try JSONValue(json: Array(bytes.dropLast()))
            guard let file = entry["file"]?.textValue, let line = entry["line"]?.integerValue else { continue }
            found[file, default: [:]][line] = entry
        }
        return found
    }
}
