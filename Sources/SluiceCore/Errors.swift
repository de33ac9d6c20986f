/// A place in a definition.
public struct SourcePlace: Sendable, Hashable, CustomStringConvertible {
    public let file: String
    /// From 1.
    public let line: Int
    /// From 1, in Unicode scalars.
    public let column: Int

    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    public var description: String { "\(file):\(line):\(column)" }
}

/// One mistake in a definition: what was found, where, and how to fix it.
public struct Problem: Error, Sendable, Hashable, CustomStringConvertible {
    public let message: String
    public var place: SourcePlace?

    public init(_ message: String, at place: SourcePlace? = nil) {
        self.message = message
        self.place = place
    }

    public var description: String { place.map { "\($0): \(message)" } ?? message }
}

/// An error of a stage.
public struct StageError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of error. New kinds may be added.
    public struct Code: Sendable, Hashable {
        let name: String

        /// The value of an option is not acceptable: the definition is wrong.
        public static let invalidOption = Code(name: "invalid-option")
        /// The data is not acceptable.
        public static let invalidData = Code(name: "invalid-data")
        /// The stage's share of memory is too small.
        public static let memory = Code(name: "memory")
        /// Reading or writing failed.
        public static let io = Code(name: "io")
        /// A defect of the stage or the engine.
        public static let fault = Code(name: "fault")
    }

    public let code: Code
    /// What was found and how to fix it, as a sentence.
    public let message: String
    /// The option at fault, if any.
    public let option: String?
    /// The record at fault, if any.
    public let ordinal: Ordinal?

    public init(_ code: Code, _ message: String, option: String? = nil, ordinal: Ordinal? = nil) {
        self.code = code
        self.message = message
        self.option = option
        self.ordinal = ordinal
    }

    public var description: String { message }

    /// The value of an option is not acceptable.
    public static func option(_ name: String, _ message: String) -> StageError {
        StageError(.invalidOption, message, option: name)
    }

    /// - Parameters:
    ///   - type: the expected contents, in words.
    ///   - found: the actual type; nil if there is no such column.
    package static func missingColumn(_ name: ColumnName, _ type: String, found: ColumnType? = nil) -> StageError {
        if let found { return StageError(.fault, "the column `\(name)` holds \(found.words), not \(type)") }
        return StageError(.fault, "there is no column `\(name)` of \(type); does the stage declare it in `reads`?")
    }

    package static func noRow(_ index: Int, of count: Int) -> StageError {
        StageError(.fault, "row \(index) is out of range; the group has \(count) rows, from 0")
    }
}
