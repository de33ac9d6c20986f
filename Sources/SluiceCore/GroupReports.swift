/// The reports of a selection's groups, in ascending order of their keys.
///
/// There may be millions of groups, and their reports are read from disk one by one, so iterate once and keep sums and
/// extremes, not a list.
public struct GroupReports: Sequence, Sendable, ExpressibleByArrayLiteral {
    public let count: Int
    private let make: @Sendable () -> AnyIterator<GroupReport>

    public init(_ reports: [GroupReport]) {
        count = reports.count
        make = { AnyIterator(reports.makeIterator()) }
    }

    public init(arrayLiteral reports: GroupReport...) { self.init(reports) }

    package init(count: Int, _ make: @escaping @Sendable () -> AnyIterator<GroupReport>) {
        self.count = count
        self.make = make
    }

    public func makeIterator() -> AnyIterator<GroupReport> { make() }

    public var first: GroupReport? { makeIterator().next() }

    /// The most groups that `run.json` lists, those with the lowest keys. Sums and extremes cover all groups.
    public static let mostListed = 10_000

    /// The groups to list in the report of the whole selection.
    public var listed: PrefixSequence<GroupReports> { prefix(Self.mostListed) }
}
