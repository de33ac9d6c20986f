import Glibc

/// How often and how soon a request that failed is sent again.
///
/// The wait doubles from failure to failure; the actual one is drawn between zero and that, so that many clients don't
/// come back together («full jitter», Brooker, «Exponential backoff and jitter», AWS 2015). If the server says how long
/// to wait, that counts, and the jitter comes on top.
///
/// The draws are different each time: for delays only, never for results.
public struct Backoff: Sendable, Hashable {
    /// The most times that a request is sent.
    public var attempts: Int
    /// Seconds that the first wait takes at most.
    public var first: Double
    /// Seconds that any wait takes at most.
    public var most: Double
    /// The longest wait that a server may ask for, in seconds.
    public var patience: Double

    public init(attempts: Int = 6, first: Double = 0.5, most: Double = 30, patience: Double = 600) {
        (self.attempts, self.first, self.most, self.patience) = (attempts, first, most, patience)
    }

    /// Seconds to wait after a failure; nil if the request should not be sent again.
    ///
    /// - Parameters:
    ///   - failures: how often the request has failed, from 1.
    ///   - asked: seconds that the server asks for, if it does.
    public func delay(after failures: Int, asked: Double?) -> Double? {
        guard failures < attempts else { return nil }
        var limit = first
        for _ in 1..<max(1, failures) where limit < most { limit *= 2 }
        let drawn = Double.random(in: 0...min(limit, most))
        guard let asked else { return drawn }
        return asked <= patience ? asked + min(drawn, first) : nil
    }

    /// Waits this long, or until `isStopped`, which is asked ten times a second.
    public static func wait(seconds: Double, isStopped: () -> Bool) {
        let end = now() + seconds
        while !isStopped() {
            let left = end - now()
            guard left > 0 else { return }
            var pause = timespec(tv_sec: 0, tv_nsec: Int(min(left, 0.1) * 999_999_999))
            nanosleep(&pause, nil)
        }
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
