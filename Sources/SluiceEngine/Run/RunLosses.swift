package import SluiceCore
import SluiceIO

/// How a record of a finished run was lost: the part of its ledger line that figures are made of.
package struct RunLoss: Sendable {
    package let stage: String
    package let reason: String
    /// The record that it lost to.
    package let partner: Ordinal?
    /// The chord distance to that record, if a distance decided.
    package let distance: Double?

    package var isDuplicate: Bool { stage == Deduper.stage && reason == Deduper.reason.name }
}

/// The losses of a finished run, read from its ledger in input order. Memory: a block of the ledger.
final class RunLosses {
    /// A stage and a reason, and how they begin the rest of a line.
    private struct Kind {
        let stage: String
        let reason: String
        let bytes: [UInt8]
    }

    private let path: String
    private let reader: BlockReader
    private let names: [[UInt8]]
    private let block = RawBlock()
    private var next = 0
    private var ended = false
    private var current: (ordinal: Ordinal, loss: RunLoss)?
    private var kinds: [Kind] = []
    /// The kind and the files of the line before, which are likely those of the next.
    private var (lastKind, lastFile, lastPartner) = (0, 0, 0)

    init(_ path: String, names: [String]) throws {
        self.path = path
        self.names = names.map { name in
            var bytes = Array(#"{"file":"#.utf8)
            bytes.appendJSONString(name)
            return bytes + Array(#","line":"#.utf8)
        }
        do throws(IOFailure) {
            reader = BlockReader(try FileSystem.local.openInput(path), limits: FramingLimits())
        } catch {
            throw EngineError(error)
        }
        try advance()
    }

    /// How a record was lost; nil if it wasn't. Call in ascending order.
    func loss(of ordinal: Ordinal) throws -> RunLoss? {
        while let place = current?.ordinal, place < ordinal { try advance() }
        return current?.ordinal == ordinal ? current?.loss : nil
    }

    private func advance() throws {
        while next == block.lines.count {
            do throws(IOFailure) {
                if !ended { ended = !(try reader.next(into: block)) }
            } catch {
                throw EngineError(error)
            }
            if ended {
                current = nil
                return
            }
            next = 0
        }
        current = try entry(block.bytes(of: block.lines[next]))
        next += 1
    }

    private var damaged: EngineError { EngineError(.data, "\(path): an entry has no valid position in the input") }

    private func entry(_ line: UnsafeRawBufferPointer) throws -> (Ordinal, RunLoss) {
        guard let (ordinal, end) = place(line[...], &lastFile) else { throw damaged }
        var rest = line[end...]
        let kind = try kind(rest, line)
        rest = rest.dropFirst(kinds[kind].bytes.count)
        var partner: Ordinal?
        if rest.starts(with: Self.keptKey) {
            guard let (found, end) = place(rest.dropFirst(Self.keptKey.count), &lastPartner) else { throw damaged }
            partner = found
            rest = rest[end...]
        }
        let loss = RunLoss(
            stage: kinds[kind].stage, reason: kinds[kind].reason, partner: partner, distance: distance(in: rest))
        return (ordinal, loss)
    }

    private static let keptKey = Array(#","kept":"#.utf8)
    private static let distanceKey = Array(#""distance":"#.utf8)

    /// The place at the beginning of `bytes`, and where it ends.
    private func place(_ bytes: Slice<UnsafeRawBufferPointer>, _ last: inout Int) -> (Ordinal, Int)? {
        // Neighbouring lines are often of one file.
        let index = names.indices.contains(last) && bytes.starts(with: names[last]) ? last : nil
        guard let file = index ?? names.firstIndex(where: { bytes.starts(with: $0) }) else { return nil }
        last = file
        let digits = bytes.dropFirst(names[file].count).prefix { (48...57).contains($0) }
        guard let line = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
        return (Ordinal(file: file, line: line), digits.endIndex)
    }

    private func kind(_ rest: Slice<UnsafeRawBufferPointer>, _ line: UnsafeRawBufferPointer) throws -> Int {
        if kinds.indices.contains(lastKind), rest.starts(with: kinds[lastKind].bytes) { return lastKind }
        if let known = kinds.firstIndex(where: { rest.starts(with: $0.bytes) }) {
            lastKind = known
            return known
        }
        let entry = try? JSONValue(json: Array(line))
        guard let stage = entry?["stage"]?.textValue, let reason = entry?["reason"]?.textValue else { throw damaged }
        var bytes = Array(#","stage":"#.utf8)
        bytes.appendJSONString(stage)
        bytes += Array(#","reason":"#.utf8)
        bytes.appendJSONString(reason)
        guard rest.starts(with: bytes) else { throw damaged }
        kinds.append(Kind(stage: stage, reason: reason, bytes: bytes))
        lastKind = kinds.count - 1
        return lastKind
    }

    private func distance(in rest: Slice<UnsafeRawBufferPointer>) -> Double? {
        var rest = rest
        while let quote = rest.firstIndex(of: UInt8(ascii: "\"")) {
            rest = rest[quote...]
            if rest.starts(with: Self.distanceKey) {
                let number = rest.dropFirst(Self.distanceKey.count).prefix {
                    $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "}")
                }
                return Double(String(decoding: number, as: UTF8.self))
            }
            rest = rest.dropFirst()
        }
        return nil
    }
}
