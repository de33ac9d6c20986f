package import SluiceCore

/// How many copies of a record are in memory at a time during a pass, in tenths.
///
/// Blocks of short records have a fixed share. A long record has its own block, whose memory depends on its length: as
/// many copies as the fields that are read, the columns that stages write, and the form of the output require. Each
/// number is the sum at one moment, since memory is freed once it is no longer needed.
package struct RecordCopies: Sendable, Hashable {
    /// The longest record that is read, in bytes.
    let longest: Int
    let tenths: Int

    /// A malformed line as base64, and its compressed form.
    private static let quarantined = 24
    /// Contents that share a hash, on disk: one being read, one being sorted, and the frames of the run to which they
    /// are written.
    private static let compared = 42
    /// Up to this length the parser builds an index of four bytes per byte of the line.
    private static let indexed = 1 << 20

    /// The memory for a record of this many bytes.
    func bytes(_ length: Int) -> Int {
        // Half a MiB for memory that grows in steps.
        length / 10 * tenths + 4 * min(length, Self.indexed) + 512 << 10
    }

    /// The memory for the longest record.
    var most: Int { bytes(longest) }

    /// The uses of a record.
    package struct Uses: Sendable {
        /// Fields that stages read, without those of the dedupe.
        package var fields: [FieldPath] = []
        package var readsRecord = false
        /// Bytes that leading transforms write for each byte of the record.
        package var growth = 0
        /// The part of `growth` that the output writes into the kept records as annotations.
        package var annotated = 0
        /// What a record is when a template has made it, in tenths of the record.
        package var template = 0
        /// Whether surveys or selections follow, so that the record is read again for the output.
        package var keeps = false
        /// How many copies of a record, or of data derived from it, are kept for later work.
        package var keptColumns = 0

        package init() {}
    }

    package init(_ definition: Definition, _ uses: Uses = Uses()) {
        longest = definition.input.maxRecord
        var most = max(Self.first(definition, uses), Self.quarantined)
        if let dedupe = definition.input.dedupe {
            most = max(most, 10 + 10 * Self.copies(of: dedupe.fields))
            if dedupe.verify == .bytes { most = max(most, Self.compared) }
        }
        if uses.keeps { most = max(most, Self.writing(definition.output, uses)) }
        tenths = most
    }

    /// The pass that reads, checks, dedupes and transforms.
    private static func first(_ definition: Definition, _ uses: Uses) -> Int {
        let dedupe = definition.input.dedupe
        let fields = uses.fields + (dedupe?.fields ?? []).filter { !uses.fields.contains($0) }
        let extracted = 10 * copies(of: fields)
        let keys = dedupe?.verify == .bytes ? 10 * max(1, copies(of: dedupe?.fields ?? [])) : 0
        let turns = fields.contains(.chat) ? 10 : 0
        let parsing = 10 + extracted + max(keys, turns)
        // The line itself is freed once it is no longer needed.
        let line = uses.readsRecord ? 20 : !uses.keeps && definition.output.keepsBytes ? 10 : 0
        let written = 10 * uses.growth
        let transforming = line + 10 * copies(of: uses.fields) + written + 10 * uses.keptColumns
        guard !uses.keeps else {
            // A column is written as a block and its frame.
            return max(parsing, transforming, 10 * uses.keptColumns + (uses.keptColumns > 0 ? 20 : 0))
        }
        let output = Self.output(definition.output, uses)
        return max(parsing, transforming, line + written + output, 2 * output)
    }

    /// The last pass, if the form of the output needs kept columns.
    private static func writing(_ output: OutputSpec, _ uses: Uses) -> Int {
        let written = Self.output(output, uses)
        guard output.keepsBytes else {
            // A column exists compressed, uncompressed and split into rows.
            return max(30 * max(1, uses.growth) + written, 2 * written)
        }
        return max(10 + 30 * uses.annotated + written, 2 * written)
    }

    /// A kept record in its output form.
    private static func output(_ output: OutputSpec, _ uses: Uses) -> Int {
        // Quotes, backslashes and line ends of a text take two bytes each in JSON.
        var text = 20 * max(1, uses.growth)
        if output.template != nil { text = uses.template }
        return 20 * uses.annotated + (output.keepsBytes ? 10 : text)
    }

    /// The most copies of a byte of the record in a table of these fields: one, plus one for each field contained in
    /// another.
    static func copies(of fields: [FieldPath]) -> Int {
        guard !fields.isEmpty else { return 0 }
        let nested = fields.filter { field in
            fields.contains { field.description.hasPrefix($0.description + ".") }
        }
        let turns =
            fields.contains(.chat)
            && fields.contains { path in
                ["messages", "conversations"].contains {
                    path.description == $0 || path.description.hasPrefix($0 + ".")
                }
            }
        return 1 + nested.count + (turns ? 1 : 0)
    }
}

extension OutputSpec {
    /// Whether a kept record is written with its own bytes.
    var keepsBytes: Bool { record == .original && template == nil }
}

extension DedupeSpec {
    fileprivate var fields: [FieldPath] { if case .fields(let paths) = on { paths } else { [] } }
}
