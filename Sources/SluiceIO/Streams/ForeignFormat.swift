/// The format of a file without JSON records, recognised by its first bytes.
public enum ForeignFormat: String, Sendable, CaseIterable {
    case parquet, arrow, avro, bzip2, xz, lz4, zlib, zip, sevenZip = "7z", tar, sqlite, pdf, gitLFS = "git-lfs", utf16
    case html, xml, prettyJSON = "pretty-json", joinedJSON = "joined-json", python, csv, tsv, text, binary

    /// Guesses the format from the first bytes of the unpacked content; 4 KiB are enough. Nil if there are none.
    ///
    /// Call it only if the first lines aren't records: JSON Lines would be reported as some other format.
    public static func guess(_ start: UnsafeRawBufferPointer) -> ForeignFormat? {
        guard let first = start.first else { return nil }
        if let (_, format) = signatures.first(where: { start.starts(with: $0.bytes) }) { return format }
        if start.count > 262, start[257..<262].elementsEqual("ustar".utf8) { return .tar }
        if isUTF16(start) { return .utf16 }
        // The second byte makes a zlib header divisible by 31; in text it would be an `x` and a rare character.
        if first == 0x78, start.count > 1, [0x01, 0x5E, 0x9C, 0xDA].contains(start[1]), start.contains(where: isControl)
        {
            return .zlib
        }
        if start.prefix(1024).contains(where: isControl) { return .binary }
        return guess(text: String(decoding: start.prefix(4096), as: UTF8.self))
    }

    private static let signatures: [(bytes: [UInt8], format: ForeignFormat)] = [
        (Array("PAR1".utf8), .parquet), (Array("ARROW1".utf8), .arrow), (Array("Obj\u{1}".utf8), .avro),
        (Array("BZh".utf8), .bzip2), ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], .xz), ([0x04, 0x22, 0x4D, 0x18], .lz4),
        ([0x50, 0x4B, 0x03, 0x04], .zip), ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], .sevenZip),
        (Array("SQLite format 3".utf8), .sqlite), (Array("%PDF-".utf8), .pdf),
        (Array("version https://git-lfs.github.com/".utf8), .gitLFS),
    ]

    /// Control characters that no text has.
    private static func isControl(_ byte: UInt8) -> Bool {
        byte < 0x20 && ![0x09, 0x0A, 0x0C, 0x0D, 0x1B].contains(byte)
    }

    /// By its byte order mark, or by every second byte of its beginning being 0.
    private static func isUTF16(_ start: UnsafeRawBufferPointer) -> Bool {
        if start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF]) { return true }
        guard start.count >= 8 else { return false }
        let units = stride(from: 0, to: min(64, start.count - 1), by: 2)
        return units.allSatisfy { (start[$0] == 0) != (start[$0 + 1] == 0) }
    }

    private static func guess(text: String) -> ForeignFormat? {
        let lines = text.split(whereSeparator: \.isNewline).map { $0.drop(while: \.isWhitespace) }.filter {
            !$0.isEmpty
        }
        guard let first = lines.first else { return nil }
        let lower = first.prefix(64).lowercased()
        if lower.hasPrefix("<!doctype html") || lower.hasPrefix("<html") { return .html }
        if lower.hasPrefix("<?xml") || lower.hasPrefix("<!--") { return .xml }
        if first.hasPrefix("{'") || first.hasPrefix("{\"") && first.contains(": None") { return .python }
        if first.hasPrefix("{") || first.hasPrefix("[") {
            if first.contains("}{") || first.contains("} {") { return .joinedJSON }
            // A document that spans several lines has an incomplete first line.
            let end = first.reversed().first { !$0.isWhitespace }
            return end.map { "{[,:".contains($0) } == true ? .prettyJSON : .text
        }
        for (separator, format) in [("\t", ForeignFormat.tsv), (",", .csv), (";", .csv)] as [(Character, ForeignFormat)]
        {
            let counts = lines.prefix(3).map { line in line.count { $0 == separator } }
            // Quoted fields may contain more separators than the header, never fewer.
            if let header = counts.first, header > 0, counts.allSatisfy({ $0 >= header }) { return format }
        }
        return .text
    }

    /// The format's name for messages, with an article if it takes one.
    public var name: String {
        switch self {
        case .parquet: "Parquet"
        case .arrow: "an Arrow file"
        case .avro: "Avro"
        case .bzip2: "bzip2"
        case .xz: "xz"
        case .lz4: "lz4"
        case .zlib: "raw zlib data"
        case .zip: "a zip archive"
        case .sevenZip: "a 7z archive"
        case .tar: "a tar archive"
        case .sqlite: "a SQLite database"
        case .pdf: "PDF"
        case .gitLFS: "a Git LFS pointer, not the file itself"
        case .utf16: "UTF-16 text"
        case .html: "an HTML page"
        case .xml: "XML"
        case .prettyJSON: "JSON over several lines"
        case .joinedJSON: "several records on a line"
        case .python: "Python dictionaries"
        case .csv: "CSV"
        case .tsv: "tab-separated text"
        case .text: "plain text"
        case .binary: "binary data"
        }
    }

    private static func duckDB(_ reader: String, _ file: String) -> String {
        "convert it first, for instance with `duckdb -c \"COPY (FROM \(reader)('\(file)')) TO 'data.jsonl' (FORMAT json)\"`"
    }

    /// Advice for a file of this format, a clause without a full stop.
    public func advice(_ file: String) -> String {
        switch self {
        case .parquet: Self.duckDB("read_parquet", file)
        case .csv, .tsv: Self.duckDB("read_csv", file)
        case .bzip2: "unpack it first: `bunzip2 -c \(file) | zstd > data.jsonl.zst`"
        case .xz: "unpack it first: `xz -dc \(file) | zstd > data.jsonl.zst`"
        case .lz4: "unpack it first: `lz4 -dc \(file) | zstd > data.jsonl.zst`"
        case .zlib: "pack it as gzip or zstd"
        case .zip, .sevenZip, .tar: "unpack it first"
        case .gitLFS: "fetch the file with `git lfs pull`"
        case .utf16: "convert it first: `iconv -f UTF-16 -t UTF-8 \(file) > data.jsonl`"
        case .html: "look at it: servers send such a page instead of a file that is missing or needs a login"
        case .prettyJSON, .joinedJSON: "put each record on one line: `jq -c . \(file) > data.jsonl`"
        case .python: "write it with `json.dumps`"
        case .text: "wrap each text in an object: `jq -cR '{text: .}' \(file) > data.jsonl`"
        case .arrow, .avro, .sqlite, .pdf, .xml, .binary: "convert it to JSON Lines first"
        }
    }
}
