import ArgumentParser
import SluiceCore
import SluiceEngine
import SluiceIO

/// The options of `plan` that ask for an estimate of a run on several machines.
struct ScaleOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Estimate the run on so many workers, each with --threads CPUs (default: 1); up to three numbers, such as 10,100,1000.",
            valueName: "counts"))
    var workers: String?

    @Option(
        help: ArgumentHelp(
            "With --workers: an input of this stored size, such as 10TB, also if the files don't exist yet.",
            valueName: "size"))
    var inputSize: String?

    @Option(
        help: ArgumentHelp(
            "With --workers: what the shared file system gives all workers together in a second, such as 10GB.",
            valueName: "size"))
    var bandwidth: String?

    @Option(
        help: ArgumentHelp(
            "With --workers: take rates from this finished run of the same stages on such a machine.",
            valueName: "directory"))
    var measured: String?

    /// Nil if no estimate is asked for.
    func request(records: Int?) throws -> ScaleEstimate.Request? {
        guard let workers else {
            for (name, value) in [("input-size", inputSize), ("bandwidth", bandwidth), ("measured", measured)]
            where value != nil {
                throw CommandFailure.usage("--\(name) goes with --workers, such as --workers 10,100")
            }
            return nil
        }
        var request = ScaleEstimate.Request(workers: try Self.counts(workers))
        request.inputBytes = try Self.size(inputSize, "input-size", most: 1 << 60)
        request.bandwidth = try Self.size(bandwidth, "bandwidth", most: 1 << 60)
        request.records = records
        request.measurement = try measured.map(Self.measurement)
        return request
    }

    private static func counts(_ text: String) throws(CommandFailure) -> [Int] {
        let counts = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard counts.count <= 3, counts.allSatisfy({ (1...1_000_000).contains($0) }) else {
            throw .usage(
                "--workers \(Printable.name(text)): give up to three numbers from 1 to 1000000, such as 10,100,1000")
        }
        return counts
    }

    private static func size(_ text: String?, _ name: String, most: Int) throws(CommandFailure) -> Int? {
        guard let text else { return nil }
        guard let bytes = MemorySize.parse(text), (1...most).contains(bytes) else {
            throw .usage("--\(name) \(Printable.name(text)): give a size, such as 500GB or 2TiB, of at most 1024PiB")
        }
        return bytes
    }

    private static func measurement(_ directory: String) throws -> ScaleMeasurement {
        let reader = try RunReader(directory)
        guard let found = ScaleMeasurement(reader.manifest) else {
            throw CommandFailure.usage(
                "\(directory): its run.json has no times of a whole run; measure with `sluice run` in one go, without tasks or --resume"
            )
        }
        return found
    }
}
