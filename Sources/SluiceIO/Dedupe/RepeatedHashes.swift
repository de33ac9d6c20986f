/// Finds the records that share a hash, given all records ordered by hash and ordinal.
struct RepeatedHashes {
    /// Whether the first record with a repeated hash is returned, too.
    let withFirsts: Bool
    private var first: Triple?
    private var isAlone = true

    init(withFirsts: Bool) { self.withFirsts = withFirsts }

    /// Takes the next record.
    ///
    /// - Parameter found: called with each record found, and the first one with its hash.
    mutating func take(_ record: Triple, _ found: (Triple) throws(IOFailure) -> Void) throws(IOFailure) {
        guard let kept = first, kept.a == record.a, kept.b == record.b else {
            first = record
            isAlone = true
            return
        }
        if withFirsts, isAlone { try found(Triple(a: kept.c, b: kept.c, c: 0)) }
        isAlone = false
        try found(Triple(a: record.c, b: kept.c, c: 0))
    }
}
