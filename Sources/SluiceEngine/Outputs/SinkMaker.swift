import SluiceCore
import SluiceIO

/// Makes one of the definition's outputs: takes the records that belong to it, sorts them where it must, and hands them to
/// its files.
final class SinkMaker {
    let spec: SinkSpec
    let files: SinkFiles
    private let sorter: LineSorter?
    private let seed: Seed
    private var offered = 0
    private var taken = 0
    private var key: [UInt8] = []

    /// - Parameter memory: for sorting, in bytes.
    init(_ spec: SinkSpec, _ files: SinkFiles, _ run: RunContext, memory: Int) {
        (self.spec, self.files) = (spec, files)
        seed = Seed(run.definition.seed).derived(for: "outputs.\(spec.name)")
        sorter =
            spec.isSorted
            ? LineSorter(
                folder: "\(run.work)/sorting", memory: memory, fileSystem: run.fileSystem, isStopped: run.isStopped)
            : nil
    }

    var isSorted: Bool { sorter != nil }

    /// Takes a kept record if it belongs to the output.
    func offer(_ line: UnsafeRawBufferPointer, _ value: (String) -> RecordValue) throws {
        offered += 1
        guard spec.condition?.holds(value) ?? true else { return }
        taken += 1
        guard let sorter else { return try files.add(line, isLast: true) }
        key.removeAll(keepingCapacity: true)
        if let per = spec.per { SinkKey.append(label: value(per), to: &key) }
        switch spec.order {
        case .input: break
        case .shuffled:
            let hash = XXHash.hash128(line)
            for word in [seed.draw(hash), hash.high, hash.low] { SinkKey.append(word, to: &key) }
        case .by(let name, let descending): SinkKey.append(value(name), descending: descending, to: &key)
        }
        try key.withUnsafeBytes { try sorter.add(key: $0, line: line) }
    }

    /// Writes what waits to be sorted, and completes the files.
    func finish() throws {
        try files.begin(records: taken)
        var label: [UInt8]?
        try sorter?.forEach { key, piece, isLast in
            if spec.per != nil {
                let own = SinkKey.label(in: key)
                if label.map({ !own.elementsEqual($0) }) ?? true {
                    label = Array(own)
                    try files.begin(label: SinkKey.text(ofLabel: own))
                }
            }
            try files.add(piece, isLast: isLast)
        }
        try files.finish()
    }

    var warnings: [String] {
        guard taken == 0, offered > 0, let condition = spec.condition else { return [] }
        return ["output `\(spec.name)` is empty: `\(condition)` holds for none of the \(offered) kept records"]
    }
}

/// Keys that order lines: bytes that compare like the values that they stand for.
enum SinkKey {
    private static let missingLabel: UInt8 = 0
    private static let label: UInt8 = 1
    private static let number: UInt8 = 1
    private static let text: UInt8 = 2
    private static let missing: UInt8 = 0xFF

    /// Records without a label come first.
    static func append(label value: RecordValue, to key: inout [UInt8]) {
        guard let spelling = value.spelling else { return key.append(missingLabel) }
        key.append(label)
        append(text: spelling, to: &key)
    }

    /// The part of a key that is its label.
    static func label(in key: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer> {
        guard key.first == label else { return key.prefix(1) }
        var end = 1
        while end + 1 < key.count, !(key[end] == 0 && key[end + 1] == 0) { end += key[end] == 0 ? 2 : 1 }
        return key[..<min(key.count, end + 2)]
    }

    /// The text of that part; nil for records without a label.
    static func text(ofLabel part: Slice<UnsafeRawBufferPointer>) -> [UInt8]? {
        guard part.first == label else { return nil }
        var found: [UInt8] = []
        var rest = part.dropFirst()
        while let byte = rest.popFirst() {
            if byte == 0 {
                guard rest.popFirst() == 0xFF else { break }
            }
            found.append(byte)
        }
        return found
    }

    /// Numbers by value, then texts byte by byte, then records without a value; with `descending` texts come first, and
    /// records without a value last all the same.
    static func append(_ value: RecordValue, descending: Bool, to key: inout [UInt8]) {
        let start = key.count
        if let real = value.number {
            key.append(number)
            append(ordered(real), to: &key)
            // Whole numbers that are too large for a real.
            append(UInt64(bitPattern: value.wholeNumber ?? 0) ^ 1 << 63, to: &key)
        } else if let spelling = value.spelling {
            key.append(text)
            append(text: spelling, to: &key)
        } else {
            return key.append(missing)
        }
        if descending { for index in start..<key.count { key[index] = ~key[index] } }
    }

    /// Bytes of a text, of which none is the beginning of another.
    private static func append(text: [UInt8], to key: inout [UInt8]) {
        for byte in text {
            key.append(byte)
            if byte == 0 { key.append(0xFF) }
        }
        key.append(contentsOf: [0, 0])
    }

    static func append(_ word: UInt64, to key: inout [UInt8]) {
        withUnsafeBytes(of: word.bigEndian) { key.append(contentsOf: $0) }
    }

    private static func ordered(_ real: Double) -> UInt64 {
        // Both zeros are one number.
        let bits = (real == 0 ? 0 : real).bitPattern
        return bits >> 63 == 1 ? ~bits : bits | 1 << 63
    }
}
