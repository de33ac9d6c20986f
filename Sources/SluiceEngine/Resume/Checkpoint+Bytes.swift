import SluiceCore
import SluiceIO

extension Checkpoint: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(step.rawValue)
        bytes.write(position)
        bytes.write(account)
        bytes.write(streams)
        bytes.write(shards)
        bytes.write(runs)
        bytes.write(files)
        bytes.write(distinct)
        bytes.write(fieldNames)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        guard let step = RunOutline.Step(rawValue: try bytes.read()) else { throw ByteReader.damaged("it has no step") }
        self.init(
            step: step, position: try bytes.read(), account: try bytes.read(), streams: try bytes.read(),
            shards: try bytes.read(), runs: try bytes.read(), files: try bytes.read(), distinct: try bytes.read(),
            fieldNames: try bytes.read())
    }
}

extension Checkpoint.Position: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(part)
        bytes.write(file)
        bytes.write(byte)
        bytes.write(read?.bytes)
        bytes.write(read?.hash)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(part: try bytes.read(), file: try bytes.read(), byte: try bytes.read())
        let (count, hash) = (try bytes.read(UInt64?.self), try bytes.read(ContentHash?.self))
        if let count, let hash { read = FileDigest.Mark(bytes: count, hash: hash) }
    }
}

extension Checkpoint.Shard: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(part)
        bytes.write(rows)
        bytes.write(types)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(part: try bytes.read(), rows: try bytes.read(), types: try bytes.read())
    }
}

extension FileFacts: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(hash)
        bytes.write(lines)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(hash: try bytes.read(), lines: try bytes.read())
    }
}

extension SinkState: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(fileBytes)
        bytes.write(fileDigest)
        bytes.write(contentBytes)
        bytes.write(lines)
        bytes.write(pending)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(
            fileBytes: try bytes.read(), fileDigest: try bytes.read(), contentBytes: try bytes.read(),
            lines: try bytes.read(), pending: try bytes.read())
    }
}

extension Account: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write([read, kept, quarantined, blank, unkeyed, collisions])
        bytes.write(lacking)
        bytes.write(drops)
        bytes.write(questions)
        bytes.write(faults)
        bytes.write(oddLines)
        bytes.write(through)
        bytes.write(seen.sorted())
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        let counts = try bytes.read([Int].self)
        guard counts.count == 6 else { throw ByteReader.damaged("it has no counts") }
        self.init(
            read: counts[0], kept: counts[1], quarantined: counts[2], blank: counts[3], unkeyed: counts[4],
            lacking: try bytes.read(), collisions: counts[5], drops: try bytes.read(), questions: try bytes.read(),
            faults: try bytes.read(), oddLines: try bytes.read(), through: try bytes.read(),
            seen: Set(try bytes.read([String].self)))
    }
}

extension Account.Key: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(stage)
        bytes.write(reason)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(stage: try bytes.read(), reason: try bytes.read())
    }
}

extension Account.OddLines: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(malformed)
        bytes.write(blank)
        bytes.write(looksLike)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(malformed: try bytes.read(), blank: try bytes.read(), looksLike: try bytes.read())
    }
}
