import SluiceCore
import SluiceIO

/// Sorts ledger lines, which are made out of order, into input order.
///
/// Lines are collected in memory; when their share is full they are sorted by ordinal and written as a run. At the end
/// the runs are merged, as many at a time as the share allows: an external merge sort, usually with one pass.
final class LedgerRuns: @unchecked Sendable {
    // The collected lines are only accessed with `monitor` locked; its holder writes the runs.

    private struct Place {
        let ordinal: UInt64
        let offset: Int
        let length: Int
    }

    private let monitor = Monitor()
    private let folder: String
    private let linesShare: Int
    private let placesShare: Int
    /// The most runs merged at a time.
    private let fanIn: Int
    private let fileSystem: FileSystem
    private var bytes: [UInt8] = []
    private var places: [Place] = []
    private var runs: [String] = []
    private var phase = "reading"
    private var nextNumber = 0
    /// How many of `runs` belong to earlier phases or were returned by `cut`.
    private var cutRuns = 0

    /// - Parameter runs: runs of a stopped run that are still valid.
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

    /// Sets the phase after which further runs are named.
    ///
    /// A run is named after its phase and its number in the phase. How many runs a phase needs depends on the memory: a
    /// resumed run with less memory may write more of them, and must not overwrite those of a later phase.
    func begin(_ phase: String) throws {
        try monitor.locked {
            try writeRun()
            cutRuns = runs.count
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

    /// Writes the collected lines; returns all runs so far.
    func flush() throws -> [String] {
        try monitor.locked {
            try writeRun()
            return runs
        }
    }

    /// Writes the collected lines; returns the runs of this phase that no earlier call returned.
    func cut() throws -> [String] {
        try monitor.locked {
            try writeRun()
            defer { cutRuns = runs.count }
            return Array(runs[cutRuns...])
        }
    }

    /// Adds the runs written by a stopped run's selection.
    func adopt(_ more: [String]) {
        monitor.locked {
            runs += more.filter { !runs.contains($0) }
            cutRuns = runs.count
            nextNumber = max(nextNumber, numberAfter(runs))
        }
    }

    func add(_ lines: LedgerLines) throws {
        try monitor.locked {
            // Room for all lines at once: growth by doubling would briefly take three times the share.
            if bytes.capacity < linesShare { bytes.reserveCapacity(linesShare) }
            if places.capacity < placesShare { places.reserveCapacity(placesShare) }
            if bytes.count + lines.bytes.count > linesShare || places.count + lines.count > placesShare {
                try writeRun()
            }
            var start = 0
            let base = bytes.count
            bytes.append(contentsOf: lines.bytes)
            for (end, ordinal) in zip(lines.ends, lines.ordinals) {
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

    /// All lines in input order. No lines can be added afterwards.
    ///
    /// The runs are not changed: a run stopped before the end of the last pass needs them again.
    ///
    /// - Parameter others: further sorted lines.
    func merged(with others: [any LedgerSource] = [], isStopped: () -> Bool = { false }) throws -> LedgerMerge {
        try monitor.locked {
            try writeRun()
            bytes = []
            places = []
            var paths = runs.map { "\(folder)/\($0)" }
            var number = 0
            while paths.count > fanIn {
                // The first runs are merged into one, which is in turn merged later.
                let take = min(fanIn, paths.count - fanIn + 1)
                let path = "\(folder)/ledger-\(phase)-merged-\(number).run"
                try merge(Array(paths[..<take]), to: path, isStopped)
                paths = Array(paths[take...]) + [path]
                number += 1
            }
            let decompressor = FrameDecompressor()
            return try LedgerMerge(
                paths.map { try BytesColumnReader($0, decompressor: decompressor, fileSystem: fileSystem) } + others)
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
