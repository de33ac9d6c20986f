import SluiceCore
import SluiceIO

/// Checks, once the first pass has read everything, whether the input can be what the user meant.
struct InputVerdict {
    let spec: InputSpec
    let catalog: InputCatalog
    let account: Account
    /// The facts of each file read, by index.
    let files: [Int: FileFacts]
    /// The field names of the first record.
    let fieldNames: [String]

    /// The most files named individually in warnings.
    private static let named = 5

    /// - Returns: the warnings.
    /// - Throws: `EngineError` with code `.data` if too much of the input is malformed, if no record has any field that
    ///   the dedupe compares, or if one of these fields seems to be a typing error.
    func warnings() throws(EngineError) -> [String] {
        try checkMalformed()
        var warnings = catalog.warnings
        if account.read == 0 { warnings.append("the input has no records: \(emptiness)") }
        let files = hollowFiles
        for file in files.prefix(Self.named) { warnings.append("\(hollow(file)).\(looks(file))") }
        if files.count > Self.named {
            warnings.append(
                "\(files.count - Self.named) more input files have no records; their lines are in the quarantine")
        }
        if let warning = try unkeyed() { warnings.append(warning) }
        warnings += try neverThere()
        return warnings
    }

    private var emptiness: String {
        let blank = account.blank
        return blank == 0 ? "it is empty" : blank == 1 ? "its only line is blank" : "its \(blank) lines are blank"
    }

    // MARK: Malformed lines

    private func checkMalformed() throws(EngineError) {
        guard account.quarantined > 0 else { return }
        let (found, all) = (account.quarantined, account.read)
        guard let allowed = spec.maxMalformed else {
            guard found == all else { return }
            throw EngineError(.data, "\(nothing) \(Self.lenience)")
        }
        guard allowed.isExceeded(by: found, of: all) else { return }
        throw EngineError(
            .data,
            "\(found) of \(all) lines are malformed (\(kinds)), more than `input.max_malformed: \(allowed)` allows; \(found == all ? nothing : "fix the input, or allow more")"
        )
    }

    private static let lenience =
        "Nothing was written. To quarantine all of them, set `max_malformed: 100%` under `input`."

    private var nothing: String {
        guard let first = hollowFiles.first else { return "no line of the input is a record (\(kinds))." }
        let others = hollowFiles.count > 1 ? ", nor is any in \(hollowFiles.count - 1) more files" : ""
        return "\(hollow(first)) (\(kinds))\(others).\(looks(first))"
    }

    private var kinds: String { account.faultCounts.map { "\($0.code) \($0.count)" }.joined(separator: ", ") }

    /// The files that have lines but no record, in order.
    private var hollowFiles: [Int] {
        account.oddLines.keys.sorted().filter { file in
            guard let odd = account.oddLines[file], odd.malformed > 0, let facts = files[file] else { return false }
            return facts.lines == odd.malformed + odd.blank
        }
    }

    private func hollow(_ file: Int) -> String {
        let count = account.oddLines[file]?.malformed ?? 0
        let name = Printable.name(catalog.files[file].name, most: Printable.longestLine)
        return count == 1 ? "\(name): its only line is not a record" : "\(name): none of its \(count) lines is a record"
    }

    private func looks(_ file: Int) -> String {
        guard let format = account.oddLines[file]?.looksLike.flatMap(ForeignFormat.init(rawValue:)) else { return "" }
        return " It looks like \(format.name): \(format.advice(catalog.files[file].name))."
    }

    // MARK: Fields of the dedupe

    private func unkeyed() throws(EngineError) -> String? {
        guard account.unkeyed > 0, case .fields(let paths)? = spec.dedupe?.on else { return nil }
        let names = paths.map(\.description)
        let asked = names.map { "`\(Printable.name($0))`" }.joined(separator: ", ")
        let field = names.count == 1 ? "the field \(asked)" : "any of the fields \(asked)"
        guard account.unkeyed < account.read - account.quarantined else {
            let near = names.compactMap { Registry.nearest(to: $0, in: fieldNames) }.first
            let guess = near.map { "; did you mean `\(Printable.name($0))`?" } ?? ""
            let known = fieldNames.listed.dropFirst(2)
            throw EngineError(
                .data,
                "no record has \(field) of `input.dedupe.on`\(guess)\(guess.isEmpty ? "; " : " (")\(known)\(guess.isEmpty ? "" : ")")"
            )
        }
        let found =
            account.unkeyed == 1
            ? "1 record does not have \(field); its whole line was compared instead"
            : "\(account.unkeyed) records do not have \(field); their whole lines were compared instead"
        return "dedupe: \(found)\(fieldNames.listed)"
    }

    /// A field that no record has leaves the comparison to the others, so more records count as duplicates than meant.
    ///
    /// - Returns: warnings.
    /// - Throws: if records have a field with nearly the same name.
    private func neverThere() throws(EngineError) -> [String] {
        guard case .fields(let paths)? = spec.dedupe?.on, account.read > account.quarantined else { return [] }
        let records = account.read - account.quarantined
        guard account.unkeyed < records else { return [] }
        var warnings: [String] = []
        for (path, lacking) in zip(paths, account.lacking) where lacking == records {
            let name = Printable.name(path.description)
            let others = fieldNames.filter { other in !paths.contains { $0.description == other } }
            // At most a third of the letters: short names are often different fields.
            if let near = Registry.nearest(to: path.description, in: others, within: path.description.count / 3) {
                throw EngineError(
                    .data,
                    "no record has the field `\(name)` of `input.dedupe.on`; did you mean `\(Printable.name(near))`? If not, remove it: only the other fields would be compared"
                )
            }
            warnings.append("dedupe: no record has the field `\(name)`; only the other fields were compared")
        }
        return warnings
    }
}

extension [String] {
    /// The fields of a record, for the end of a message.
    var listed: String {
        isEmpty ? "" : "; a record has the fields \(prefix(12).map { Printable.name($0) }.joined(separator: ", "))"
    }
}
