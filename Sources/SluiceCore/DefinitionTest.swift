/// A test of a definition: a few records, and what should become of each.
///
/// A test runs its definition over these records alone. `sluice check --tests` runs all tests of a file.
public struct DefinitionTest: Sendable, Hashable {
    public var name: String
    /// The last stage that runs, by name or `name#2`; nil for all stages.
    public var after: String?
    public var cases: [Case]

    public init(_ name: String, after: String? = nil, cases: [Case]) {
        self.name = name
        self.after = after
        self.cases = cases
    }

    /// What can become of a record.
    public enum Fate: String, Sendable, Hashable, CaseIterable {
        case kept
        case dropped
        case malformed
    }

    /// A record, and what is expected of it. What is nil or empty may be anything.
    public struct Case: Sendable, Hashable {
        /// The record as JSON, or the line as text, such as a malformed one.
        public var given: JSONValue
        public var fate: Fate
        /// The stage that drops it, by name or `name#2`; `dedupe` for a duplicate.
        public var by: String?
        public var reason: String?
        /// Columns of the record once it is kept.
        public var columns: [String: JSONValue]
        /// What is written for it.
        public var record: JSONValue?

        public init(
            given: JSONValue, _ fate: Fate = .kept, by: String? = nil, reason: String? = nil,
            columns: [String: JSONValue] = [:], record: JSONValue? = nil
        ) {
            self.given = given
            self.fate = fate
            self.by = by
            self.reason = reason
            self.columns = columns
            self.record = record
        }
    }
}

extension DefinitionTest {
    /// The test as a definition has it.
    package var report: JSONValue {
        .object(
            [.init("name", .text(name))] + (after.map { [.init("after", .text($0))] } ?? [])
                + [.init("records", .list(cases.map(\.report)))])
    }
}

extension DefinitionTest.Case {
    fileprivate var report: JSONValue {
        var entries: [JSONValue.Entry] = [.init("given", given), .init("expect", .text(fate.rawValue))]
        if let by { entries.append(.init("by", .text(by))) }
        if let reason { entries.append(.init("reason", .text(reason))) }
        if !columns.isEmpty {
            entries.append(
                .init("columns", .object(columns.sorted { $0.key < $1.key }.map { .init($0.key, $0.value) })))
        }
        if let record { entries.append(.init("record", record)) }
        return .object(entries)
    }
}

extension Definition {
    /// The definition that ends after a stage, and writes kept records as they are, with these columns of that point.
    ///
    /// - Parameter stage: by name, or `name#2` for the second of that name.
    /// - Returns: nil if there is no such stage.
    package func ending(after stage: String) -> Definition? {
        var seen: [String: Int] = [:]
        for (index, spec) in stages.enumerated() {
            seen[spec.name, default: 0] += 1
            let count = seen[spec.name] ?? 1
            guard stage == (count == 1 ? spec.name : "\(spec.name)#\(count)") else { continue }
            var result = self
            result.stages = Array(stages[...index])
            result.output.record = .original
            result.output.template = nil
            result.output.annotate = []
            return result.withoutExtras
        }
        return nil
    }

    /// The definition without columns in its kept records.
    package var withoutAnnotations: Definition {
        var result = self
        result.output.annotate = []
        return result
    }

    /// The definition with the kept records as its only output.
    package var withoutExtras: Definition {
        var result = self
        result.sinks = []
        result.output.vectors = nil
        result.output.vectorIds = nil
        result.output.writesAllVectors = false
        result.output.failIfEmpty = false
        result.output.compression = .uncompressed
        return result
    }
}
