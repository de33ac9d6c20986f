import Glibc
import SluiceCore
import SluiceGeometry
import Testing

/// Vectors around `centres` random directions, in Int8.
func clustered(_ count: Int, dimension: Int, centres: Int, spread: Double = 0.5, seed: UInt64 = 1) -> [Int8] {
    var generator = Seed(seed).generator()
    func normal() -> Double {
        // The sum of twelve uniform draws is close enough to normal for test data.
        (0..<12).reduce(-6.0) { sum, _ in sum + Double(generator.next() >> 11) / 9_007_199_254_740_992 }
    }
    let middle = (0..<centres).map { _ in (0..<dimension).map { _ in normal() } }
    var floats: [Float] = []
    for row in 0..<count {
        for component in middle[Int(generator.next(below: UInt64(centres))) % max(1, min(centres, row + 1))] {
            floats.append(Float(component + spread * normal()))
        }
    }
    return try! Quantizer(dimension: dimension).quantize(floats)
}

func squaredDistance(_ vectors: [Int8], _ a: Int, _ b: Int, _ dimension: Int) -> Int {
    (0..<dimension).reduce(0) { sum, index in
        let difference = Int(vectors[a * dimension + index]) - Int(vectors[b * dimension + index])
        return sum + difference * difference
    }
}

/// A group in memory; with `isResident: false` it is passed in chunks, like a group on disk.
struct TestGroup: GroupData {
    let rows: [ContentHash]
    var vectors: [Int8] = []
    var dimension = 1
    var columns: [ColumnName: Column] = [:]
    var isResident = true

    func group(key: GroupKey = .all) -> Group { Group(key: key, count: rows.count, data: self) }
    func hashes() throws(StageError) -> [ContentHash] { rows }
    func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource {
        TestVectors(values: vectors, dimension: dimension, isResident: isResident)
    }
    func values(_ name: ColumnName) throws(StageError) -> Column {
        guard let column = columns[name] else { throw StageError(.fault, "no column \(name)") }
        return column
    }
}

final class TestVectors: VectorSource {
    let dimension: Int
    let count: Int
    private let isResident: Bool
    private nonisolated(unsafe) let memory: UnsafeMutableBufferPointer<Int8>

    init(values: [Int8], dimension: Int, isResident: Bool) {
        self.dimension = dimension
        count = values.count / dimension
        self.isResident = isResident
        memory = .allocate(capacity: max(1, values.count))
        _ = memory.update(fromContentsOf: values)
    }

    deinit { memory.deallocate() }

    var resident: UnsafeBufferPointer<Int8>? {
        isResident ? UnsafeBufferPointer(rebasing: memory[..<(count * dimension)]) : nil
    }

    func forEachChunk(_ body: (Range<Int>, UnsafeBufferPointer<Int8>) throws(StageError) -> Void) throws(StageError) {
        for start in stride(from: 0, to: count, by: 37) {
            let range = start..<min(count, start + 37)
            try body(range, UnsafeBufferPointer(rebasing: memory[(start * dimension)..<(range.upperBound * dimension)]))
        }
    }

    func row(_ index: Int) throws(StageError) -> [Int8] {
        Array(memory[(index * dimension)..<((index + 1) * dimension)])
    }
}

func context(_ name: String, seed: UInt64 = 7, memory: Int = 1 << 30) -> StageContext {
    StageContext(name: name, seed: Seed(seed).derived(for: name), memory: memory)
}

/// Blocks of `size` records with an `embedding` column.
func forEachBlock(
    _ vectors: [Int8], dimension: Int, hashes given: [ContentHash]? = nil, size: Int,
    _ body: (inout Block) throws -> Void
) throws {
    let count = vectors.count / dimension
    let all = given ?? hashes(count)
    for start in stride(from: 0, to: count, by: size) {
        let range = start..<min(count, start + size)
        var block = makeBlock(count: range.count, hashes: Array(all[range]), from: start)
        block.write(
            .embedding,
            .vectors(
                VectorColumn(
                    dimension: dimension, values: Array(vectors[(start * dimension)..<(range.upperBound * dimension)])))
        )
        try body(&block)
    }
}

/// Passes all blocks to a survey, in several summaries merged as a tree, and finishes it.
func survey(
    _ survey: any Survey, _ vectors: [Int8], dimension: Int, hashes: [ContentHash]? = nil, size: Int,
    isReversed: Bool = false,
    _ context: StageContext
) throws -> (body: StageBody, report: JSONValue) {
    func run<S: Survey>(_ survey: S) throws -> (body: StageBody, report: JSONValue) {
        var parts: [S.Summary] = []
        try forEachBlock(vectors, dimension: dimension, hashes: hashes, size: size) { block in
            var summary = survey.makeSummary()
            try survey.observe(block, into: &summary)
            parts.append(summary)
        }
        if isReversed { parts.reverse() }
        while parts.count > 1 {
            var next: [S.Summary] = []
            for start in stride(from: 0, to: parts.count, by: 2) {
                var merged = parts[start]
                if start + 1 < parts.count { survey.merge(parts[start + 1], into: &merged) }
                next.append(merged)
            }
            parts = next
        }
        let result = try survey.finish(parts.first ?? survey.makeSummary(), context)
        return (try survey.makeBody(S.Outcome(decoding: result.outcome.encoded), context), result.report)
    }
    return try run(survey)
}

/// Writes Int8 vectors as `.npy`; returns the path.
func writeVectors(_ values: [Int8], _ dimension: Int) throws -> String {
    var path = Array("/tmp/sluice-coreset-XXXXXX".utf8CString)
    let number = mkstemp(&path)
    defer { close(number) }
    let header = Array(
        "{'descr': '|i1', 'fortran_order': False, 'shape': (\(values.count / dimension), \(dimension)), }\n".utf8)
    let bytes =
        [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.count), 0] + header + values.map { UInt8(bitPattern: $0) }
    #expect(write(number, bytes, bytes.count) == bytes.count)
    return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
