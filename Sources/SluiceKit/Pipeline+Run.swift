public import SluiceCore
public import SluiceEngine
import SluiceIO
public import SluicePipeline

extension Pipeline {
    /// Checks the definition and runs it to the end: what `sluice run` does, without its display.
    ///
    /// The result does not depend on `options`, except where its documentation says so.
    ///
    /// - Parameters:
    ///   - registry: the known stages; add your own with `Registry.builtIn.adding(MyStage.self)`.
    ///   - options: nil for one thread per core, or fewer if `memory` is small.
    /// - Throws: `DefinitionErrors` before anything is read, with all mistakes at once; `EngineError` otherwise, after which the
    ///   output directory has its previous content.
    public func run(_ registry: Registry = .builtIn, options: RunOptions? = nil) throws -> RunResult {
        let definition = try definition(registry)
        let hasOptions = options != nil
        var options = options ?? RunOptions(threads: 0)
        let store: any InputStore =
            options.store ?? StandardInputs(files: options.fileSystem, isStopped: options.isStopped)
        options.store = store
        if !hasOptions {
            options.threads = try Plan.threads(
                definition, registry: registry, atMost: RunOptions.coreCount, store: store)
        }
        return try Run(definition, registry: registry, options: options).run()
    }
}
