/// `normalizer`.
enum NormalizerReader {
    static func steps(_ part: JSONItem) throws(TokenizerError) -> [NormalizerStep] {
        guard part.kind == .object, let type = part["type"]?.name else {
            throw .wrong("the normalizer has no type")
        }
        switch type {
        case "Sequence":
            var steps: [NormalizerStep] = []
            for item in part["normalizers"]?.items ?? [] { steps += try Self.steps(item) }
            return steps
        case "Prepend": return [.prepend(Array(part["prepend"]?.string ?? []))]
        case "Replace": return [try replace(part)]
        case "Strip":
            return [.strip(left: part["strip_left"]?.flag ?? true, right: part["strip_right"]?.flag ?? true)]
        case "Lowercase": return [.lowercase]
        case "NFD": return [.decompose]
        case "BertNormalizer":
            let lowercases = part["lowercase"]?.flag ?? true
            return [
                .bert(
                    BertNormalizer(
                        cleans: part["clean_text"]?.flag ?? true,
                        padsChinese: part["handle_chinese_chars"]?.flag ?? true,
                        stripsAccents: part["strip_accents"]?.flag ?? lowercases, lowercases: lowercases))
            ]
        case "Precompiled":
            guard let text = part["precompiled_charsmap"]?.string, let blob = Base64.decode(text) else {
                throw .wrong("the `precompiled_charsmap` of its normalizer is no base64")
            }
            return [.charsmap(try Charsmap(blob))]
        default: throw .unsupported("normalizer", "`\(type)`")
        }
    }

    private static func replace(_ part: JSONItem) throws(TokenizerError) -> NormalizerStep {
        let content = Array(part["content"]?.string ?? [])
        if let pattern = part["pattern"]?["String"]?.string, !pattern.isEmpty {
            return .replace(Array(pattern), with: content)
        }
        switch part["pattern"]?["Regex"]?.name {
        case "\\s+": return .replaceBlanks(with: content)
        case " {2,}": return .replaceSpaces(with: content)
        case let pattern?: throw .unsupported("normalizer", "`Replace` with the regular expression `\(pattern)`")
        case nil: throw .wrong("the normalizer `Replace` has no pattern")
        }
    }
}

/// `pre_tokenizer`.
enum SplitterReader {
    static func steps(_ part: JSONItem) throws(TokenizerError) -> [SplitterStep] {
        guard part.kind == .object, let type = part["type"]?.name else {
            throw .wrong("the pre-tokenizer has no type")
        }
        switch type {
        case "Sequence":
            var steps: [SplitterStep] = []
            for item in part["pretokenizers"]?.items ?? [] {
                let next = try Self.steps(item)
                if !steps.isEmpty, case .metaspace(let way)? = next.first, way.prepend == .first {
                    throw .unsupported("pre-tokenizer", "`Metaspace` with `prepend_scheme: first` after another one")
                }
                steps += next
            }
            return steps
        case "BertPreTokenizer": return [.bert]
        case "WhitespaceSplit": return [.blanks]
        case "Metaspace": return [.metaspace(try metaspace(part))]
        default: throw .unsupported("pre-tokenizer", "`\(type)`")
        }
    }

    private static func metaspace(_ part: JSONItem) throws(TokenizerError) -> Metaspace {
        let prepend: Metaspace.Prepend
        switch part["prepend_scheme"]?.name {
        case "always", nil: prepend = .always
        case "first": prepend = .first
        case "never": prepend = .never
        case let scheme?: throw .unsupported("pre-tokenizer", "`Metaspace` with `prepend_scheme: \(scheme)`")
        }
        if part["add_prefix_space"]?.flag == false, prepend != .never {
            throw .unsupported("pre-tokenizer", "`Metaspace` with `add_prefix_space: false`")
        }
        let mark = Array(part["replacement"]?.string ?? [])
        guard !mark.isEmpty, mark.count == UTF8Text.length(mark[0]), mark != [0x20] else {
            throw .wrong("the `replacement` of `Metaspace` is not one character")
        }
        return Metaspace(mark: mark, prepend: prepend, splits: part["split"]?.flag ?? true)
    }
}

/// Base64 with padding.
enum Base64 {
    /// - Returns: nil if it is none.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var bits: UInt32 = 0
        var count = 0
        var padding = 0
        for byte in text {
            let value: UInt8
            switch byte {
            case 65...90: value = byte - 65
            case 97...122: value = byte - 71
            case 48...57: value = byte + 4
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "="):
                padding += 1
                continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 1
            if count % 4 != 1 { bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(6 - 2 * ((count - 1) % 4)))) }
        }
        return (count + padding) % 4 == 0 && padding < 3 ? bytes : nil
    }
}
