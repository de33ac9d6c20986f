/// The stages that a definition may name. A value, not a global.
public struct Registry: Sendable {
    private var stages: [String: any Stage.Type] = [:]

    public init() {}

    public init(_ stages: [any Stage.Type]) {
        for stage in stages { self = adding(stage) }
    }

    /// The same registry with one more stage.
    ///
    /// - Precondition: no stage of that name is in it.
    public func adding(_ stage: any Stage.Type) -> Registry {
        let name = stage.descriptor.name
        precondition(stages[name] == nil, "two stages are called `\(name)`; rename one of them")
        var copy = self
        copy.stages[name] = stage
        return copy
    }

    public subscript(name: String) -> (any Stage.Type)? { stages[name] }

    /// All names, sorted.
    public var names: [String] { stages.keys.sorted() }

    /// The known name nearest to `name`, if near enough that `name` may be a typing error.
    ///
    /// - Parameter most: the most letters that may differ; nil for a third of them, at least two.
    public static func nearest(to name: String, in known: [String], within most: Int? = nil) -> String? {
        let best = known.map { (distance: editDistance(name, $0), name: $0) }
            .min { ($0.distance, $0.name) < ($1.distance, $1.name) }
        guard let best, best.distance <= most ?? max(2, name.count / 3) else { return nil }
        return best.name
    }

    /// Damerau-Levenshtein distance with adjacent swaps (optimal string alignment).
    static func editDistance(_ a: String, _ b: String) -> Int {
        let a = Array(a.lowercased().unicodeScalars), b = Array(b.lowercased().unicodeScalars)
        var before: [Int] = []
        var row = Array(0...b.count)
        for i in 0..<a.count {
            var next = [i + 1]
            for j in 0..<b.count {
                var cost = min(row[j + 1] + 1, next[j] + 1, row[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, before[j - 1] + 1) }
                next.append(cost)
            }
            before = row
            row = next
        }
        return row[b.count]
    }
}
