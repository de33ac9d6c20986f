public import SluiceCore
public import SluiceEngine
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
        let threads = try Plan.threads(definition, registry: registry, atMost: RunOptions.coreCount)
        return try Run(definition, registry: registry, options: options ?? RunOptions(threads: threads)).run()
    }
}
