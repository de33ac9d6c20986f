import SluiceCore

/// The dedupe as described by a plan.
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

    /// Approximate bytes of a distinct record in memory: a table entry (see `DedupeTable`), and a content of typical
    /// size.
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
