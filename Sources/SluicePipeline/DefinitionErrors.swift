public import SluiceCore

/// All mistakes in a definition, in the order of its lines.
public struct DefinitionErrors: Error, Sendable, Hashable, CustomStringConvertible {
    /// At least one.
    public let problems: [Problem]

    public init(_ problems: [Problem]) { self.problems = problems }

    /// One problem per line.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
