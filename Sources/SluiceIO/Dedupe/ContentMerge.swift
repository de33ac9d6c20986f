import SluiceCore

/// Merges sorted runs or sections of contents: if there are more than `fanIn`, some are first merged into new runs.
struct ContentMerge {
    enum Source {
        /// A temporary file, which is removed after use.
        case run(String)
        case section(String, SectionLabel, Int)

        fileprivate func open(_ fileSystem: FileSystem) throws(IOFailure) -> ContentRunReader {
            switch self {
            case .run(let path): try ContentRunReader(path, fileSystem: fileSystem)
            case .section(let path, let label, let section):
                try ContentRunReader(SectionReader(path, label, section: section, fileSystem: fileSystem))
            }
        }
    }

    /// The most sources that can be merged at a time.
    let fanIn: Int
    let frameBytes: Int
    let compressor: FrameCompressor
    let fileSystem: FileSystem
    /// Contents between two questions whether to stop: a few milliseconds of work, unless they are large.
    static let untilCheck = 1024

    /// Passes all contents to `body` in key order, then removes the runs. A content is valid while `body` runs.
    ///
    /// - Parameters:
    ///   - newRun: returns the path for a run.
    ///   - isStopped: asked often.
    func callAsFunction(
        _ sources: [Source], newRun: () throws(IOFailure) -> String, isStopped: () -> Bool,
        _ body: (ContentKey, UnsafeRawBufferPointer) throws(IOFailure) -> Void
    ) throws(IOFailure) {
        var rest = sources[...]
        while rest.count > fanIn {
            let path = try newRun()
            var writer = try ContentRunWriter(
                path, frameBytes: frameBytes, compressor: compressor, fileSystem: fileSystem)
            try mergeOnce(rest.prefix(fanIn), isStopped) { key, content throws(IOFailure) in
                try writer.append(key, content)
            }
            try writer.finish()
            rest = rest.dropFirst(fanIn) + [.run(path)]
        }
        try mergeOnce(rest, isStopped, body)
    }

    private func mergeOnce(
        _ sources: ArraySlice<Source>, _ isStopped: () -> Bool,
        _ body: (ContentKey, UnsafeRawBufferPointer) throws(IOFailure) -> Void
    ) throws(IOFailure) {
        var readers: [ContentRunReader] = []
        for source in sources {
            let reader = try source.open(fileSystem)
            if reader.head != nil { readers.append(reader) }
        }
        var heap = MergeHeap(readers)
        readers = []
        let unpacker = FrameUnpacker()
        var count = 0
        while let reader = heap.first, let key = reader.head {
            if count % Self.untilCheck == 0 { try MergeLimits.check(isStopped, "") }
            count += 1
            try body(key, try reader.content(unpacker))
            try reader.advance()
            heap.settle()
        }
        for case .run(let path) in sources { try fileSystem.remove(path) }
    }
}
