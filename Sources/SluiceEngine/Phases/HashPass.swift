import SluiceCore
import SluiceIO

/// A pass over the input that checks every line and hashes every good record, in input order.
struct HashPass {
    let run: RunContext
    let input: InputPass

    /// - Parameter append: takes the hash and the ordinal of each good record.
    func process(_ append: @escaping (ContentHash, UInt64) throws -> Void) throws {
        let hash = run.truncatedHash
        let conveyor = input.conveyor(
            [
                .parallel { [input] parcel in
                    try input.parse(parcel)
                    parcel.releaseLine()
                },
                .ordered { [input] parcel in
                    try input.refuseFaults(parcel)
                    for record in parcel.records.hashes.indices {
                        try append(hash(parcel.records.hashes[record]), parcel.records.ordinals[record].rawValue)
                    }
                    input.giveBack(parcel)
                },
            ], limit: run.shares.blocks, lanes: run.shares.streams, isStopped: run.isStopped)
        try conveyor.run(on: run.pool)
    }
}
