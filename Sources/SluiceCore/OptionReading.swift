extension OptionKind {
    /// `value` in the normal form of this kind; nil if it is not a value of the kind.
    ///
    /// Converts `5` to a count, `"5%"` to a quantity, `"64MiB"` to a number of bytes and `1` to a real if the kind
    /// requires it, so that definitions in YAML and in Swift give equal values.
    public func normalized(_ value: OptionValue) -> OptionValue? {
        switch (self, value) {
        case (.text, .text), (.label, .text), (.path, .text), (.word, .text), (.flag, .flag), (.quantity, .quantity):
            return value
        case (.tree, _): return value
        case (.column, .text(let name)), (.newColumn, .text(let name)):
            return ColumnName(name).fault == nil ? value : nil
        case (.integer(let range), .integer(let number)): return range.contains(number) ? value : nil
        case (.real(let range), .real(let number)): return range.contains(number) ? value : nil
        case (.real(let range), .integer(let number)):
            return range.contains(Double(number)) ? .real(Double(number)) : nil
        case (.quantity, .integer(let count)): return count >= 0 ? .quantity(.count(count)) : nil
        case (.quantity, .text(let text)): return Quantity(text).map { .quantity($0) }
        case (.size, .integer(let bytes)): return bytes >= 0 ? value : nil
        case (.size, .text(let text)): return MemorySize.parse(text).map { .integer($0) }
        case (.choice(let words), .text(let word)): return words.contains(word) ? value : nil
        case (.list(let kind), .list(let values)):
            let normal = values.compactMap { kind.normalized($0) }
            return normal.count == values.count ? .list(normal) : nil
        case (.map(let kind), .map(let values)):
            let normal = values.compactMapValues { kind.normalized($0) }
            return normal.count == values.count ? .map(normal) : nil
        case (.either(let kinds), _):
            for kind in kinds {
                if let normal = kind.normalized(value) { return normal }
            }
            return nil
        default: return nil
        }
    }

    /// Whether a path in `value` has a NUL character. For the system the path ends there, so it would open another file.
    func endsPathEarly(_ value: OptionValue) -> Bool {
        switch (self, value) {
        case (.path, .text(let path)), (.word, .text(let path)): path.utf8.contains(0)
        case (.list(let kind), .list(let values)): values.contains { kind.endsPathEarly($0) }
        case (.map(let kind), .map(let values)): values.values.contains { kind.endsPathEarly($0) }
        case (.either(let kinds), _): kinds.first { $0.normalized(value) != nil }?.endsPathEarly(value) ?? false
        default: false
        }
    }

    /// The value of this kind that `text` spells; nil if there is none. Lists and maps can't be spelled as text.
    ///
    /// - Parameter quoted: whether the text was quoted: `"5"` is not a number.
    public func value(spelled text: String, quoted: Bool = false) -> OptionValue? {
        switch self {
        case .text, .path, .word, .label: return .text(text)
        case .integer:
            guard !quoted, let number = Self.integer(text) else { return nil }
            return normalized(.integer(number))
        case .real:
            guard !quoted, text.utf8.allSatisfy({ "0123456789+-.eE".utf8.contains($0) }), let number = Double(text),
                number.isFinite
            else { return nil }
            return normalized(.real(number))
        case .flag: return quoted ? nil : text == "true" ? .flag(true) : text == "false" ? .flag(false) : nil
        case .quantity, .size, .choice, .column, .newColumn: return normalized(.text(text))
        case .list, .map: return nil
        case .either(let kinds):
            for kind in kinds {
                if let value = kind.value(spelled: text, quoted: quoted) { return value }
            }
            return nil
        case .tree:
            for kind in [OptionKind.flag, .integer(.min ... .max), .real(-.infinity ... .infinity)] {
                if let value = kind.value(spelled: text, quoted: quoted) { return value }
            }
            return .text(text)
        }
    }

    /// A whole number in plain decimal digits.
    package static func integer(_ text: String) -> Int? {
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(text)
    }

    /// The kind with its article: "a whole number from 1 to 9".
    package var phrase: String {
        switch self {
        case .text, .flag, .choice: description
        case .column, .label: "the \(description)"
        case .either(let kinds): kinds.map(\.phrase).joined(separator: ", or ")
        default: "a \(description)"
        }
    }

    /// How to write the value that `text` seems to mean; nil if that is unclear.
    package func hint(for text: String) -> String? {
        switch self {
        case .quantity: return Quantity.hint(for: text)
        case .size: return MemorySize.hint(for: text)
        case .integer:
            let plain = text.filter { $0 != "_" && $0 != "," && $0 != " " }
            return plain != text && Self.integer(plain) != nil ? "write \(plain)" : nil
        case .flag:
            switch text.lowercased() {
            case "yes", "on", "true", "y", "1": return "write true"
            case "no", "off", "false", "n", "0": return "write false"
            default: return nil
            }
        case .choice(let words): return Registry.nearest(to: text, in: words).map { "did you mean `\($0)`?" }
        case .either(let kinds): return kinds.lazy.compactMap { $0.hint(for: text) }.first
        default: return nil
        }
    }
}

extension Quantity {
    /// How to write the value that `text` seems to mean, such as `5%` for `5 %` or `0.05`.
    package static func hint(for text: String) -> String? {
        let plain = text.filter { $0 != " " && $0 != "_" && $0 != "," }
        if plain != text, let quantity = Quantity(plain) { return "write \(quantity)" }
        if plain.hasSuffix("%") {
            guard let number = Double(plain.dropLast()) else { return nil }
            return number > 100 ? "a share is at most 100%" : number < 0 ? "a share is not negative" : nil
        }
        if let last = plain.last, let factor = ["k": 1_000, "K": 1_000, "m": 1_000_000, "M": 1_000_000][last],
            let number = Double(plain.dropLast()), number >= 0, number < 1e9
        {
            return "write \(Int(number * Double(factor)))"
        }
        guard let number = Double(plain), number.isFinite else { return nil }
        if number < 0 { return "a count is not negative" }
        if number > 0, number < 1 { return "write \(Quantity.percent(number * 100)) for that share" }
        return number <= 100 ? "a count is whole; a share is written \(Quantity.percent(number))" : "a count is whole"
    }
}

extension MemorySize {
    /// How to write the value that `text` seems to mean, such as `512MiB` for `512M` or `512mb`.
    package static func hint(for text: String) -> String? {
        let plain = text.filter { $0 != " " && $0 != "_" && $0 != "," }
        if plain != text, parse(plain) != nil { return "write \(plain)" }
        let number = plain.prefix { $0.isNumber || $0 == "." }
        guard Double(number) != nil else { return nil }
        let unit = plain.dropFirst(number.count).lowercased()
        guard let letter = unit.first, "kmgt".contains(letter), ["", "b", "i", "ib"].contains(unit.dropFirst()) else {
            return nil
        }
        return "write \(number)\(letter == "k" ? "K" : letter.uppercased())iB"
    }
}

extension Descriptor {
    /// `given` in normal form with defaults filled in, and all its mistakes.
    ///
    /// Wrong values are left out, so if there are problems, use the values only to find further problems.
    public func resolving(_ given: OptionValues) -> (values: OptionValues, problems: [StageError]) {
        var values = OptionValues()
        var problems: [StageError] = []
        for name in given.names {
            guard let option = options.first(where: { $0.name == name }) else {
                problems.append(.option(name, unknownOption(name)))
                continue
            }
            guard let value = given[name] else { continue }
            guard let normal = option.kind.normalized(value) else {
                problems.append(.option(name, wrongOption(option, found: "`\(value.report.json)`")))
                continue
            }
            guard !option.kind.endsPathEarly(normal) else {
                let message =
                    "option `\(name)` of stage `\(self.name)` contains a NUL character, which no file name can have"
                problems.append(.option(name, message))
                continue
            }
            values[name] = normal
        }
        for option in options where given[option.name] == nil {
            if let value = option.defaultValue {
                values[option.name] = option.kind.normalized(value) ?? value
            } else if option.isRequired {
                problems.append(.option(option.name, missingOption(option)))
            }
        }
        return (values, problems)
    }

    package func unknownOption(_ option: String) -> String {
        let known = options.map(\.name)
        let rest =
            if let near = Registry.nearest(to: option, in: known) {
                "; did you mean `\(near)`?"
            } else if known.isEmpty {
                "; it takes none"
            } else {
                "; it takes \(known.map { "`\($0)`" }.joined(separator: ", "))"
            }
        return "unknown option `\(option)` of stage `\(name)`\(rest)"
    }

    package func missingOption(_ option: OptionSpec) -> String {
        let example = option.example.isEmpty ? "" : ", such as `\(option.name): \(option.example)`"
        return "stage `\(name)` needs the option `\(option.name)`: \(option.kind.phrase)\(example)"
    }

    package func wrongOption(_ option: OptionSpec, found: String, hint: String? = nil) -> String {
        let start = "option `\(option.name)` of stage `\(name)` must be \(option.kind.phrase), not \(found)"
        return hint.map { "\(start); \($0)" } ?? start
    }
}
