package import SluiceCore
package import SluiceIO

/// The first lines of some inputs, for a look at them.
package enum FirstLines {
    /// Calls `body` with each line that is not blank, up to `InputSpec.limit`.
    package static func forEach(
        of input: InputSpec, in store: any InputStore, _ body: ([UInt8]) -> Void
    ) throws {
        let catalog = try InputCatalog(input, store: store)
        let block = RawBlock()
        do {
            for file in catalog.files {
                let reader = BlockReader(
                    try catalog.store.openInput(file.path), limits: FramingLimits(maxRecord: input.maxRecord),
                    firstLine: 1)
                while try reader.next(into: block, mayHold: { _ in true }) == .block {
                    for line in block.lines { body(Array(block.bytes(of: line))) }
                }
            }
        } catch {
            throw EngineError(any: error)
        }
    }
}
