import SluiceCore
import SluiceIO

/// Long records, one at a time: no memory that grows with one is kept afterwards, and nothing is copied unnecessarily.
extension InputPass {
    /// Checks the only line of a block, as `parse` does for many.
    func parseLong(_ parcel: InputParcel, _ line: RawLine, _ extractor: Extractor) throws(EngineError) {
        let bytes = parcel.raw.bytes(of: line)
        defer { extractor.json.shrink() }
        let found: LoneFields
        switch extractor.json.extractAlone(bytes) {
        case .success(let fields): found = fields
        case .failure(let fault):
            parcel.records.faults.append(
                MalformedLine(line: line, code: fault.code.name, message: fault.reason, byte: fault.position))
            return
        }
        parcel.records.lines.append(line)
        let ordinal = Ordinal(file: parcel.place.file, line: Int(parcel.raw.firstLine) + Int(line.lineDelta))
        parcel.records.ordinals.append(ordinal)
        noteFields(bytes, ordinal)
        if keepsKeys {
            appendKey(bytes, found, to: parcel)
            parcel.records.hashes.append(parcel.records.keys.with(0) { XXHash.hash128($0) })
        } else {
            parcel.records.hashes.append(hash(bytes, found, parcel))
        }
        guard keepsFields else { return }
        guard UInt32(exactly: found.bytes.count) != nil else { throw FieldColumns.tooLong }
        parcel.records.fields = FieldTable(paths: fields)
        parcel.records.fields.arena = found.bytes
        parcel.records.fields.entries = found.places.map {
            FieldTable.Entry(
                offset: UInt32($0.offset), length: UInt32($0.length),
                kind: $0.kind)
        }
    }

    /// Parses a line again for the content that the dedupe compares; false if it is malformed.
    func readLongKey(_ parcel: InputParcel, _ line: UnsafeRawBufferPointer, _ extractor: Extractor) -> Bool {
        defer { extractor.json.shrink() }
        guard case .success(let found) = extractor.json.extractAlone(line) else { return false }
        appendKey(line, found, to: parcel)
        parcel.records.hashes.append(parcel.records.keys.with(parcel.records.keys.last) { ContentComparison.mark($0) })
        return true
    }

    /// Whether the record has a dedupe field; counts those that it lacks.
    private func isKeyed(_ found: LoneFields, _ parcel: InputParcel) -> Bool {
        var missing = 0
        for (number, field) in dedupeFields.enumerated() where found.places[field].kind == .missing {
            parcel.account.countLacking(number)
            missing += 1
        }
        return missing < dedupeFields.count
    }

    /// The hash of the bytes that `key` returns, without joining them.
    private func hash(_ line: UnsafeRawBufferPointer, _ found: LoneFields, _ parcel: InputParcel) -> ContentHash {
        guard !dedupeFields.isEmpty else { return XXHash.hash128(line) }
        guard isKeyed(found, parcel) else {
            parcel.account.unkeyed += 1
            return XXHash.hash128(line)
        }
        var stream = XXHashStream()
        found.forEachPart(of: dedupeFields) { stream.update($0) }
        return stream.digest128
    }

    /// Joins the content that the dedupe compares, in the parcel.
    private func appendKey(_ line: UnsafeRawBufferPointer, _ found: LoneFields, to parcel: InputParcel) {
        if dedupeFields.isEmpty || !isKeyed(found, parcel) {
            if !dedupeFields.isEmpty { parcel.account.unkeyed += 1 }
            parcel.records.keys.append(count: line.count) { $0(line) }
        } else {
            let size = dedupeFields.reduce(0) { $0 + 9 + found.places[$1].length }
            parcel.records.keys.append(count: size) { found.forEachPart(of: dedupeFields, $0) }
        }
    }
}
