/// Runs independent pieces of work, on several threads if the engine lends them.
///
/// A stage numbers its pieces and must give the same result for every `width`. Pieces may run in any order and at the
/// same time, so each writes only to its own place, and results are merged by an exact, commutative operation or in the
/// order of the numbers.
public struct Parallel: Sendable {
    /// How many pieces can run at the same time, at least 1. A hint for splitting work; it must not affect any result.
    public let width: Int
    private let run: @Sendable (_ pieces: Int, _ body: @Sendable (Int) -> Void) -> Void

    /// - Parameter run: calls `body` once for every number in `0..<pieces` and returns when all calls have returned.
    public init(width: Int, run: @escaping @Sendable (_ pieces: Int, _ body: @Sendable (Int) -> Void) -> Void) {
        self.width = max(1, width)
        self.run = run
    }

    /// Calls `body` once for every number in `0..<pieces`; returns when all calls have returned.
    ///
    /// May be called from inside a piece: the calling thread works too, so nesting can't deadlock.
    public func callAsFunction(_ pieces: Int, _ body: @Sendable (Int) -> Void) {
        guard pieces > 0 else { return }
        run(pieces, body)
    }

    /// Everything on the calling thread, in order.
    public static let serial = Parallel(width: 1) { pieces, body in
        for piece in 0..<pieces { body(piece) }
    }
}
