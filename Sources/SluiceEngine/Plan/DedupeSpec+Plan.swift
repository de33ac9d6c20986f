import SluiceCore

/// What a dedupe takes, in the words of a plan.
extension DedupeSpec {
    var planned: String {
        switch verify {
        case .hash: "dedupe (in memory; in partitions on disk, with one reading more, if it outgrows its share)"
        case .bytes:
            "dedupe, comparing contents (in memory; on disk, with two readings more, if all different contents outgrow its share)"
        }
    }

    var heldInMemory: String {
        switch verify {
        case .hash: "dedupe table, while reading"
        case .bytes: "dedupe table and contents, while reading"
        }
    }

    var heldOnDisk: String {
        switch verify {
        case .hash: "24 bytes a record"
        case .bytes: "24 bytes a record, and the contents, compressed, of all records that share a hash with another"
        }
    }
}
