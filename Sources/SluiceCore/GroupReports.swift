/// What the groups of a selection reported, in ascending order of their keys.
///
/// There may be millions of groups: their reports are read from disk one by one, so go over them in a loop, and keep
/// sums and extremes, not a list.
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

    /// How many groups `run.json` lists one by one: those with the lowest keys. All groups stand in sums and extremes.
    public static let mostListed = 10_000

    /// The groups to list one by one, in a report of the whole.
    public var listed: PrefixSequence<GroupReports> { prefix(Self.mostListed) }
}
