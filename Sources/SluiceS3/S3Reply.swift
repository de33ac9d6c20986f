/// The texts of a store's XML: lists of objects, and errors.
///
/// Reads elements and their texts, in any namespace; attributes, comments and the like are skipped. A damaged reply gives
/// the texts before the damage.
struct S3XML {
    /// Calls `body` at the end of each element that has no others in it, and at the end of each other one with an empty
    /// text.
    static func forEach(_ bytes: [UInt8], _ body: (_ name: String, _ text: String) -> Void) {
        var place = 0
        var text: [UInt8] = []
        var hasInner = false
        while place < bytes.count {
            guard bytes[place] == UInt8(ascii: "<") else {
                text.append(bytes[place])
                place += 1
                continue
            }
            guard let end = bytes[place...].firstIndex(of: UInt8(ascii: ">")) else { return }
            let tag = bytes[(place + 1)..<end]
            place = end + 1
            switch tag.first {
            case UInt8(ascii: "?"), UInt8(ascii: "!"): continue
            case UInt8(ascii: "/"):
                body(name(tag.dropFirst()), hasInner ? "" : resolved(text))
                hasInner = true
            default:
                hasInner = false
                if tag.last == UInt8(ascii: "/") {
                    body(name(tag.dropLast()), "")
                    hasInner = true
                }
            }
            text.removeAll(keepingCapacity: true)
        }
    }

    /// The name of a tag without its namespace and attributes.
    private static func name(_ tag: ArraySlice<UInt8>) -> String {
        let word = tag.prefix { $0 > 0x20 }
        let start = word.lastIndex(of: UInt8(ascii: ":")).map { $0 + 1 } ?? word.startIndex
        return String(decoding: word[start...], as: UTF8.self)
    }

    private static let entities: [String: String] = ["amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'"]

    private static func resolved(_ text: [UInt8]) -> String {
        var parts = String(decoding: text, as: UTF8.self).split(separator: "&", omittingEmptySubsequences: false)
        var words = String(parts.removeFirst())
        for part in parts {
            guard let end = part.firstIndex(of: ";") else {
                words += "&" + part
                continue
            }
            let name = part[..<end]
            words += entity(name) ?? "&\(name);"
            words += part[part.index(after: end)...]
        }
        return words
    }

    private static func entity(_ name: Substring) -> String? {
        if let known = entities[String(name)] { return known }
        guard name.first == "#" else { return nil }
        let digits = name.dropFirst()
        let code = digits.first == "x" ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
        return code.flatMap(Unicode.Scalar.init).map { String(Character($0)) }
    }
}

/// A page of a list of objects (`ListObjectsV2`).
struct S3Page {
    struct Entry {
        var key = ""
        var etag: String?
        var size: UInt64 = 0
    }

    private(set) var entries: [Entry] = []
    /// Where the next page begins; nil for the last one.
    private(set) var next: String?
    /// Whether the reply is a whole list: a proxy's page of HTML is none.
    private(set) var isWhole = false

    init(_ bytes: [UInt8]) {
        var entry = Entry()
        var isEncoded = false
        var token: String?
        var isTruncated = false
        S3XML.forEach(bytes) { name, text in
            switch name {
            case "Key": entry.key = text
            case "ETag": entry.etag = text
            case "Size": entry.size = UInt64(text) ?? 0
            case "Contents":
                entries.append(entry)
                entry = Entry()
            case "EncodingType": isEncoded = text == "url"
            case "IsTruncated": isTruncated = text == "true"
            case "NextContinuationToken": token = text
            case "ListBucketResult": isWhole = true
            default: break
            }
        }
        if isEncoded {
            for index in entries.indices { entries[index].key = PercentEncoding.decode(entries[index].key) }
        }
        next = isTruncated ? token : nil
        if isTruncated, token == nil { isWhole = false }
    }
}
