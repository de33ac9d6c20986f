import SluiceCore
import SluiceIO

/// The files of one of the definition's outputs, filled one after the other; those of a ladder all at once.
final class SinkFiles {
    private let spec: SinkSpec
    private let folder: String
    private let compression: OutputCompression
    private let run: RunContext
    private let spares: ObjectPool<FrameCompressor>
    private let buffers: ObjectPool<FrameBuffer>
    /// How many frames wait to be compressed together.
    private let mostFrames: Int
    private var open: [SinkFile] = []
    private var frames: [Frame] = []
    private var label: Label?
    private var labels = 0
    private var shard = 0
    private var rungs: [Int] = []
    private var records = 0
    private(set) var report: [JSONValue] = []

    private enum Label {
        case missing
        case text([UInt8])
    }

    /// One file for each label is for people: a field with a value of its own in every record is a mistake.
    private static let mostLabels = 100_000

    /// - Parameters:
    ///   - folder: that of all outputs.
    ///   - spares: compressors of the level of the kept records.
    ///   - buffers: shared by all outputs.
    ///   - beside: how many outputs are filled at a time.
    init(
        _ spec: SinkSpec, in folder: String, _ run: RunContext, _ spares: ObjectPool<FrameCompressor>,
        _ buffers: ObjectPool<FrameBuffer>, beside: Int
    ) {
        (self.spec, self.run, self.spares, self.buffers) = (spec, run, spares, buffers)
        mostFrames = max(1, 2 * run.options.threads / max(1, beside))
        compression = spec.compression ?? run.definition.output.compression
        let isOne = spec.per == nil && spec.shard == nil && spec.ladder == nil
        self.folder = isOne ? folder : "\(folder)/\(spec.name)"
    }

    // MARK: Filling

    /// Says how many records there will be; needed for a ladder.
    func begin(records: Int) throws {
        guard let ladder = spec.ladder else { return }
        rungs = ladder.rungs(of: records)
        for size in rungs { open.append(try file("\(size)")) }
    }

    /// Begins the file of another label.
    ///
    /// - Parameter text: nil for records without a label.
    func begin(label text: [UInt8]?) throws {
        try close()
        labels += 1
        guard labels <= Self.mostLabels else {
            throw EngineError(
                .data,
                "output `\(spec.name)` has more than \(Self.mostLabels) values of `\(spec.per ?? "")`, and would be as many files; choose another column or field for `per`"
            )
        }
        label = text.map { .text($0) } ?? .missing
        shard = 0
    }

    /// Adds a piece of a line.
    ///
    /// - Parameter isLast: whether it ends the line.
    func add(_ piece: UnsafeRawBufferPointer, isLast: Bool) throws {
        if open.isEmpty, rungs.isEmpty { open.append(try file(name)) }
        for (index, file) in open.enumerated() where rungs.isEmpty || records < rungs[index] {
            try file.add(piece, isLast: isLast, to: &frames)
        }
        if frames.count >= mostFrames { try writeFrames() }
        guard isLast else { return }
        records += 1
        if let file = open.first, isFull(file) {
            try close()
            shard += 1
        }
    }

    private func isFull(_ file: SinkFile) -> Bool {
        switch spec.shard {
        case .bytes(let bytes)?: file.bytes >= bytes
        case .records(let count)?: file.lines >= count
        case nil: false
        }
    }

    /// Completes all files. Without any record there is one empty file, so that a reader finds what it expects.
    func finish() throws {
        if open.isEmpty, report.isEmpty, spec.per == nil { open.append(try file(name)) }
        try close()
    }

    func flushFolder() throws(IOFailure) {
        if run.fileSystem.isRealFolder(folder) { try run.fileSystem.flushFolder(folder) }
    }

    // MARK: Files

    /// The name of the next file, without its ending.
    private var name: String {
        let number = String(shard)
        let part = String(repeating: "0", count: max(0, 5 - number.count)) + number
        let stem: String? =
            switch label {
            case .missing?: "_missing"
            case .text(let text)?: Self.fileName(of: text)
            case nil: nil
            }
        let words = (stem.map { [$0] } ?? []) + (spec.shard == nil ? [] : [part])
        return words.isEmpty ? spec.name : words.joined(separator: "-")
    }

    /// A label as a part of a file name: letters, digits, `-`, `_` and dots stay, other bytes are `%` and two digits, as in
    /// addresses of the web. Long ones are cut, and end in their hash.
    private static func fileName(of label: [UInt8]) -> String {
        var found = ""
        for (index, byte) in label.enumerated() {
            switch byte {
            case 48...57, 65...90, 97...122, 45: found.unicodeScalars.append(Unicode.Scalar(byte))
            case 46 where index > 0, 95 where index > 0: found.unicodeScalars.append(Unicode.Scalar(byte))
            default: found += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        if found.isEmpty { return "%" }
        guard found.utf8.count > 100 else { return found }
        return found.prefix(60) + "%" + label.withUnsafeBytes { hexadecimal(XXHash.hash128($0)) }
    }

    private func file(_ name: String) throws -> SinkFile {
        try run.fileSystem.makeFolder(folder)
        let file = name + (compression == .zstd ? ".jsonl.zst" : ".jsonl")
        let path = "\(folder)/\(file)"
        let sink: any RecordSink =
            compression == .zstd
            ? try FrameSink(path, from: nil, buffers: buffers, fileSystem: run.fileSystem)
            : try LineSink(path, from: nil, fileSystem: run.fileSystem)
        let isOne = spec.per == nil && spec.shard == nil && spec.ladder == nil
        return SinkFile(sink, name: "\(SinkFolder.name)/\(isOne ? "" : "\(spec.name)/")\(file)")
    }

    private func close() throws {
        for file in open { try file.drain(to: &frames) }
        try writeFrames()
        for file in open {
            try spares.using { try file.sink.finish($0) }
            report.append(entry(file))
        }
        open = []
    }

    private func entry(_ file: SinkFile) -> JSONValue {
        let facts = file.sink.facts
        var entries: [JSONValue.Entry] = [.init("file", .text(file.name)), .init("output", .text(spec.name))]
        switch label {
        case .text(let text)?: entries.append(.init("label", .text(String(decoding: text.prefix(256), as: UTF8.self))))
        case .missing?: entries.append(.init("label", .null))
        case nil: break
        }
        return .object(
            entries + [
                .init("lines", .integer(facts.lines)), .init("bytes", .integer(facts.bytes)),
                .init("content", .text("xxh3-128:" + facts.digest)),
            ])
    }

    /// Compresses full frames on all threads, and appends them in order.
    private func writeFrames() throws {
        guard !frames.isEmpty else { return }
        let work = SendableFrames(frames: frames, spares: spares)
        run.pool.parallel(frames.count) { work.compress($0) }
        for frame in frames {
            try frame.sink.append(frame.buffer)
            frame.buffer.empty()
            buffers.giveBack(frame.buffer)
        }
        frames.removeAll(keepingCapacity: true)
    }
}

/// Frames that several threads compress, each one of them by one thread.
private struct SendableFrames: @unchecked Sendable {
    // @unchecked: a frame belongs to one piece of the work, and `spares` is thread-safe.
    let frames: [Frame]
    let spares: ObjectPool<FrameCompressor>

    func compress(_ index: Int) { spares.using { frames[index].buffer.compress(with: $0) } }
}

/// A file that is being filled. Lines are collected first, since a sink takes many at a time best.
final class SinkFile {
    private static let batch = 256 << 10

    let sink: any RecordSink
    let name: String
    private(set) var bytes = 0
    private(set) var lines = 0
    private var waiting: [UInt8] = []
    private var waitingLines = 0

    init(_ sink: any RecordSink, name: String) { (self.sink, self.name) = (sink, name) }

    func add(_ piece: UnsafeRawBufferPointer, isLast: Bool, to frames: inout [Frame]) throws(IOFailure) {
        waiting.append(contentsOf: piece)
        bytes += piece.count
        if isLast {
            lines += 1
            waitingLines += 1
        }
        if waiting.count >= Self.batch { try drain(to: &frames) }
    }

    func drain(to frames: inout [Frame]) throws(IOFailure) {
        let count = waitingLines
        let sink = sink
        var content: [UInt8] = []
        swap(&content, &waiting)
        try content.span.bytes.withUnsafeBytes { bytes throws(IOFailure) in
            sink.add([bytes], lines: count, to: &frames)
            if !sink.takesFrames { try sink.append(lines: [bytes]) }
        }
        // Only the memory of a long line is not kept.
        content.removeAll(keepingCapacity: content.capacity <= 4 * Self.batch)
        swap(&content, &waiting)
        waitingLines = 0
    }
}
