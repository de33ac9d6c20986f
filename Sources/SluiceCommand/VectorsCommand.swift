import ArgumentParser
import SluiceCore
import SluiceEngine
import SluiceIO

struct VectorsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vectors",
        abstract: "Write the vectors of a run's kept records, for a later run's `already`.",
        usage: "sluice vectors <run> --output <file> [<options>]",
        discussion: """
            Writes a .npy file of int8 with one row per kept record, in input order. The run's own stages up to `embed` \
            compute the vectors again. With `coreset: {already: FILE}` a later run selects what these records don't cover.
            """)

    @Argument(help: ArgumentHelp("The output directory of the run.", valueName: "run"), completion: .directory)
    var directory: String

    @Option(help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file(extensions: ["npy"]))
    var output: String

    @Option(
        help: ArgumentHelp(
            "The column of vectors (default: embedding, or the first that a stage writes).", valueName: "name"))
    var column: String?

    @OptionGroup var budget: RunMemoryOption
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        let reader = try RunReader(directory, store: Environment.store)
        let pool = try RunVectors.read(
            reader, try RunDefinition.read(reader, budget), registry: Environment.registry,
            column: column.map { ColumnName($0) }, sample: 0, threads: try threads.count(), fewest: threads.fewest)
        guard pool.kept > 0 else {
            throw CommandFailure.data("\(directory) kept nothing; there are no vectors to write")
        }
        do throws(IOFailure) {
            let writer = try NpyWriter<Int8>(output, width: pool.dimension)
            try writer.append(pool.chosen)
            try writer.finish()
        } catch {
            throw CommandFailure(status: 4, message: error.description)
        }
        Terminal.line("\(output): \(Format.count(pool.kept)) vectors of \(pool.dimension) components")
    }
}

struct RunMemoryOption: ParsableArguments {
    @Option(help: ArgumentHelp("Memory for the whole process (default: as in the run).", valueName: "size"))
    var memory: String?
}
