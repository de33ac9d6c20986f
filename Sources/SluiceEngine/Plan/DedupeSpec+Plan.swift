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
        case .hash: "dedupe table"
        case .bytes: "dedupe table and contents"
        }
    }

    /// Bytes of a distinct record in memory, about: an entry of the table (see `DedupeTable`), and a content of usual length.
    var heldBytes: Int {
        switch verify {
        case .hash: 36
        case .bytes: 36 + 1024
        }
    }

    var heldOnDisk: String {
        switch verify {
        case .hash: "24 bytes a record"
        case .bytes: "24 bytes a record, and the contents, compressed, of all records that share a hash with another"
        }
    }
}
