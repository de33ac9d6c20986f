/// The numbers of a run's phases, the same in the plan, the progress bar and JSON progress: reading is 1, then each
/// stage with a survey or selection or after one, then writing.
struct PhaseNumbers: Sendable {
    private let stages: [String: Int]
    private let last: Int

    init(_ pieces: [StageWork]) {
        let split = pieces.firstIndex { !$0.isTransform } ?? pieces.endIndex
        var numbers: [String: Int] = [:]
        for piece in pieces[split...] where numbers[piece.link.label] == nil {
            numbers[piece.link.label] = numbers.count + 2
        }
        stages = numbers
        last = numbers.count + 2
    }

    /// - Parameter name: `reading` or a part of it, the label of a stage, or `writing`.
    func number(of name: String) -> Int { stages[name] ?? (name == Self.writing ? last : 1) }

    static let reading = "reading"
    static let writing = "writing"
}
