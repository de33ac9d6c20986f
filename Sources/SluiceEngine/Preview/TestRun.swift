import Glibc
package import SluiceCore
import SluiceIO

/// Runs the tests of a definition: each is a run over its records alone, in a temporary folder.
package struct TestRun {
    private let definition: Definition
    private let registry: Registry
    private let threads: Int
    private let isStopped: @Sendable () -> Bool

    package init(
        _ definition: Definition, registry: Registry, threads: Int, isStopped: @escaping @Sendable () -> Bool
    ) {
        self.definition = definition
        self.registry = registry
        self.threads = threads
        self.isStopped = isStopped
    }

    /// What is wrong with a record of a test.
    package struct Difference: Sendable {
        /// From 1.
        package let record: Int
        package let message: String
    }

    /// Runs a test.
    ///
    /// - Returns: how records differ from what is expected, in their order; none if the test passes.
    /// - Throws: `EngineError` if the run fails.
    package func differences(of test: DefinitionTest) throws -> [Difference] {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let run = try definition(for: test, in: folder.path)
        try write(test, to: "\(folder.path)/\(Self.records)")
        var options = RunOptions(threads: threads)
        options.isStopped = isStopped
        _ = try Run(run, registry: registry, options: options).run()
        return try differences(test, RunReader(run.output.directory))
    }

    private static let records = "records.jsonl"

    private func definition(for test: DefinitionTest, in folder: String) throws(EngineError) -> Definition {
        var run = test.after.flatMap { definition.ending(after: $0) } ?? definition.withoutExtras
        run.input.files = ["\(folder)/\(Self.records)"]
        run.input.folder = folder
        run.input.limit = nil
        run.input.malformed = .quarantine
        run.input.maxMalformed = .percent(100)
        run.output.directory = "\(folder)/out"
        run.output.annotate = Set(test.cases.flatMap(\.columns.keys)).sorted().map { ColumnName($0) }
        let written = try StageChain(run.withoutAnnotations, registry: registry).written.map(\.name)
        if let unknown = run.output.annotate.first(where: { !written.contains($0) }) {
            let near =
                Registry.nearest(to: unknown.name, in: written.map(\.name)).map { "; did you mean `\($0)`?" } ?? ""
            throw EngineError(.definition, "it expects the column `\(unknown)`, which no stage writes\(near)")
        }
        // Columns in the records take memory that the definition itself need not have.
        run.memory = max(run.memory, try StageChain(run, registry: registry).smallestBudget(run, threads: threads))
        return run
    }

    private func write(_ test: DefinitionTest, to path: String) throws(IOFailure) {
        var bytes: [UInt8] = []
        for one in test.cases {
            if case .text(let line) = one.given { bytes += Array(line.utf8) } else { one.given.write(to: &bytes) }
            bytes.append(0x0A)
        }
        try FileSystem.local.write(bytes, to: path)
    }

    private func differences(_ test: DefinitionTest, _ result: RunReader) throws -> [Difference] {
        let kept = try FileSystem.local.contents(of: "\(result.path)/kept.jsonl").split(separator: 0x0A)
        var next = kept.makeIterator()
        var found: [Difference] = []
        for (index, one) in test.cases.enumerated() {
            let fate = try result.fate(file: Self.records, line: index + 1)
            var line: JSONValue?
            if case .kept = fate { line = try next.next().map { try JSONValue(json: Array($0)) } }
            for message in one.differences(from: fate, written: line) {
                found.append(Difference(record: index + 1, message: message))
            }
        }
        return found
    }
}

extension DefinitionTest.Case {
    /// - Parameter written: the kept record with its columns; nil for a record that is not kept.
    fileprivate func differences(from found: RunReader.Fate, written: JSONValue?) -> [String] {
        switch found {
        case .kept:
            guard fate == .kept else { return ["expected \(expectation); it is kept"] }
            return columnDifferences(written?[KeptEncoder.annotationKey]) + recordDifferences(written)
        case .quarantined(let entry):
            return fate == .malformed
                ? [] : ["expected \(expectation); it is malformed: \(entry["error"]?.textValue ?? "?")"]
        case .dropped(let entry):
            let (stage, why) = (entry["stage"]?.textValue ?? "?", entry["reason"]?.textValue ?? "?")
            let isExpected = fate == .dropped && by ?? stage == stage && reason ?? why == why
            return isExpected ? [] : ["expected \(expectation); `\(stage)` drops it: \(why)"]
        }
    }

    private var expectation: String {
        guard fate == .dropped else { return fate.rawValue }
        return "dropped" + (by.map { " by `\($0)`" } ?? "") + (reason.map { ": \($0)" } ?? "")
    }

    private func columnDifferences(_ annotations: JSONValue?) -> [String] {
        columns.sorted { $0.key < $1.key }.compactMap { name, expected in
            let value = annotations?[name] ?? .null
            return value.agrees(with: expected)
                ? nil : "expected the column `\(name)` to be \(expected.json); it is \(value.json)"
        }
    }

    private func recordDifferences(_ written: JSONValue?) -> [String] {
        guard let record, let written else { return [] }
        let own = JSONValue.object(written.entries.filter { $0.key != KeptEncoder.annotationKey })
        return own.agrees(with: record) ? [] : ["expected the record \(record.json); it is written as \(own.json)"]
    }
}

extension JSONValue {
    /// Whether it is what a person wrote down: keys of objects in any order, and reals rounded to the digits given.
    func agrees(with expected: JSONValue) -> Bool {
        switch (self, expected) {
        case (.object(let own), .object(let others)):
            return own.count == others.count
                && others.allSatisfy { entry in self[entry.key]?.agrees(with: entry.value) ?? false }
        case (.list(let own), .list(let others)):
            return own.count == others.count && zip(own, others).allSatisfy { $0.agrees(with: $1) }
        case (.real(let value), .real(let other)):
            let fraction = other.description.drop { $0 != "." }.dropFirst()
            let digits = fraction.contains("e") ? 12 : fraction.count
            return abs(value - other) <= 0.5 * pow(10, -Double(digits)) * (1 + 1e-9)
        case (.integer(let value), .real(let other)), (.real(let other), .integer(let value)):
            return Double(value) == other
        default: return self == expected
        }
    }
}
