import SluiceCore

extension ColumnName {
    /// The number in the field that `score_field` names.
    static let score: ColumnName = "score"
}

/// Writes a numeric field as a column, so that a selection can order by it; records without a number come last.
struct ScoreTransform: Transform {
    let field: FieldPath

    /// Below every score.
    static let missing = -Double.infinity

    func apply(to block: inout Block) throws(StageError) {
        let values = block.field(field)
        block.write(.score, .reals((0..<block.count).map { Self.number(values[$0]) }))
    }

    static func number(_ value: FieldValue) -> Double {
        switch value {
        case .string(let bytes), .json(let bytes):
            guard let number = Double(String(decoding: bytes, as: UTF8.self)), number.isFinite else { return missing }
            return number
        default: return missing
        }
    }
}
