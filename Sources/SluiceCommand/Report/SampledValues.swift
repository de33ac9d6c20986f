import SluiceCore

/// The values of a sample of contents: those with the lowest keys. See `BottomSample`.
struct SampledValues<Value> {
    private var sample: BottomSample
    private var values: [Value] = []

    init(_ capacity: Int) {
        sample = BottomSample(capacity: capacity, slack: max(8, capacity / 4))
    }

    /// - Parameter make: called if the key may be in the sample.
    mutating func offer(_ key: BottomSample.Key, _ make: () -> Value) {
        guard sample.admits(key) else { return }
        values.append(make())
        guard sample.append(key) else { return }
        values = sample.shrink().map { values[$0] }
    }

    /// The values in the order of their keys.
    var lowest: [Value] {
        var sample = sample
        return sample.lowest().map { values[$0] }
    }
}
