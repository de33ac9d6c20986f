package import SluiceCore
package import SluiceIO

/// A line of an input that is not blank.
package struct InputLine {
    package let number: UInt64
    /// Its bytes, valid during the call; only its beginning if it is longer than a record may be.
    package let bytes: UnsafeRawBufferPointer
    /// Whether `bytes` is all of it.
    package let isWhole: Bool
}

extension InputStore {
    /// Calls `body` for each line of an input, in order, until it returns false. Memory: the longest record twice.
    func forEachLine(
        of path: String, maxRecord: Int, _ body: (InputLine) throws -> Bool
    ) throws {
        let reader = BlockReader(try openInput(path), limits: FramingLimits(maxRecord: maxRecord), firstLine: 1)
        let block = RawBlock()
        while try reader.next(into: block) {
            for place in block.lines {
                let line = InputLine(number: block.lineNumber(of: place), bytes: block.bytes(of: place), isWhole: true)
                guard try body(line) else { return }
            }
            // Such a line ends its block.
            for long in block.overlong {
                let goesOn = try long.head.withUnsafeBytes {
                    try body(InputLine(number: long.line, bytes: $0, isWhole: false))
                }
                guard goesOn else { return }
            }
        }
    }
}

extension InputSpec {
    /// Calls `body` with each line that is not blank and no longer than a record may be, up to `limit`.
    package func forEachFirstLine(in store: any InputStore, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        do {
            let catalog = try InputCatalog(self, store: store)
            for file in catalog.files {
                try catalog.store.forEachLine(of: file.path, maxRecord: maxRecord) { line in
                    if line.isWhole { body(line.bytes) }
                    return true
                }
            }
        } catch {
            throw EngineError(any: error)
        }
    }

    /// Reads the first records of the first file, as far as they can be read; none of a stream.
    ///
    /// - Parameter most: the most lines.
    package func forEachRecordAtTheBeginning(
        most: Int, in store: any InputStore, _ body: (JSONValue) -> Void
    ) throws {
        guard let file = try InputCatalog(self, store: store).files.first, !file.isStream else { return }
        var left = most
        try store.forEachLine(of: file.path, maxRecord: min(maxRecord, 1 << 20)) { line in
            if line.isWhole, let record = try? JSONValue(json: Array(line.bytes)) { body(record) }
            left -= 1
            return left > 0
        }
    }
}
