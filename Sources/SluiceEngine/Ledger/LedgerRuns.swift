import SluiceCore
import SluiceIO

/// Ledger lines that are made out of order and wanted in the order of the input.
///
/// Lines gather in memory; when their share is full they are sorted by ordinal and written out as a run. At the end the
/// runs are merged, as many at a time as the share can hold open: an external merge sort, mostly with one pass.
final class LedgerRuns: @unchecked Sendable {
    // The gathered lines are touched only with `monitor` locked; runs are written by whoever holds it.

    private struct Place {
        let ordinal: UInt64
        let offset: Int
        let length: Int
    }

    private let monitor = Monitor()
    private let folder: String
    private let linesShare: Int
    private let placesShare: Int
    /// Runs that are merged at a time.
    private let fanIn: Int
    private let fileSystem: FileSystem
    private var bytes: [UInt8] = []
    private var places: [Place] = []
    private var runs: [String] = []
    private var phase = "reading"
    private var nextNumber = 0

    /// - Parameter runs: those of a stopped run that are still good.
    init(folder: String, shareBytes: Int, adopting runs: [String] = [], fileSystem: FileSystem) {
        self.folder = folder
        // A line has about 100 bytes.
        linesShare = max(1 << 20, shareBytes) * 4 / 5
        placesShare = max(1 << 20, shareBytes) / 5 / MemoryLayout<Place>.stride
        fanIn = max(2, max(1 << 20, shareBytes) / LedgerMerge.bytesPerRun)
        self.fileSystem = fileSystem
        self.runs = runs
        nextNumber = numberAfter(runs)
    }

    /// Names the runs to come.
    ///
    /// A run's name belongs to a phase and a number in it: how many runs a phase is cut into follows from the memory, so
    /// a run that goes on with less may write more of them, and must not write over those of a later phase.
    func begin(_ phase: String) throws {
        try monitor.locked {
            try writeRun()
            self.phase = phase
            nextNumber = numberAfter(runs)
        }
    }

    private func numberAfter(_ runs: [String]) -> Int {
        let stem = "ledger-\(phase)-"
        return 1
            + (runs.filter { $0.hasPrefix(stem) }.compactMap { Int($0.dropFirst(stem.count).prefix { $0 != "." }) }
                .max() ?? -1)
    }

    /// Writes what has gathered; returns all runs so far.
    func flush() throws -> [String] {
        try monitor.locked {
            try writeRun()
            return runs
        }
    }

    /// Takes over the runs that a stopped run's selection wrote.
    func adopt(_ more: [String]) {
        monitor.locked {
            runs += more.filter { !runs.contains($0) }
            nextNumber = max(nextNumber, numberAfter(runs))
        }
    }

    /// Adds lines: `ordinals[i]` belongs to the line that ends at `ends[i]` of `lines`.
    func add(_ lines: [UInt8], ends: [Int], ordinals: [UInt64]) throws {
        try monitor.locked {
            // Room for all at once: an array that doubles would need three times its share for a moment.
            if bytes.capacity < linesShare { bytes.reserveCapacity(linesShare) }
            if places.capacity < placesShare { places.reserveCapacity(placesShare) }
            if bytes.count + lines.count > linesShare || places.count + ends.count > placesShare { try writeRun() }
            var start = 0
            let base = bytes.count
            bytes.append(contentsOf: lines)
            for (end, ordinal) in zip(ends, ordinals) {
                places.append(Place(ordinal: ordinal, offset: base + start, length: end - start))
                start = end
            }
        }
    }

    private func writeRun() throws {
        guard !places.isEmpty else { return }
        places.sort { $0.ordinal < $1.ordinal }
        let name = "ledger-\(phase)-\(nextNumber).run"
        nextNumber += 1
        let path = "\(folder)/\(name)"
        let writer = try BytesColumnWriter(path, blockBytes: LedgerMerge.blockBytes, fileSystem: fileSystem)
        var entry: [UInt8] = []
        for place in places {
            entry.removeAll(keepingCapacity: true)
            withUnsafeBytes(of: place.ordinal.littleEndian) { entry.append(contentsOf: $0) }
            entry.append(contentsOf: bytes[place.offset..<(place.offset + place.length)])
            try entry.withUnsafeBytes { try writer.append($0) }
        }
        try writer.finish()
        runs.append(name)
        bytes.removeAll(keepingCapacity: true)
        places.removeAll(keepingCapacity: true)
    }

    /// All lines in the order of the input. Nothing can be added any more.
    ///
    /// The runs stay as they are: a stop before the end of the last pass comes back to them.
    func merged(isStopped: () -> Bool = { false }) throws -> LedgerMerge {
        try monitor.locked {
            try writeRun()
            bytes = []
            places = []
            var paths = runs.map { "\(folder)/\($0)" }
            var number = 0
            while paths.count > fanIn {
                // The first ones make way for one, which is a first one again when its turn comes.
                let take = min(fanIn, paths.count - fanIn + 1)
                let path = "\(folder)/ledger-merged-\(number).run"
                try merge(Array(paths[..<take]), to: path, isStopped)
                paths = Array(paths[take...]) + [path]
                number += 1
            }
            return try LedgerMerge(paths, fileSystem: fileSystem)
        }
    }

    private func merge(_ paths: [String], to path: String, _ isStopped: () -> Bool) throws {
        let merge = try LedgerMerge(paths, fileSystem: fileSystem)
        let writer = try BytesColumnWriter(path, blockBytes: LedgerMerge.blockBytes, fileSystem: fileSystem)
        while try merge.takeEntry({ try writer.append($0) }) {
            if isStopped() { throw EngineError.stopped }
        }
        try writer.finish()
    }
}
