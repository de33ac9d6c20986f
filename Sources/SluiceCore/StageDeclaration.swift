import Synchronization

/// A stage's declared columns and fields, in the form that a block looks up.
package struct StageDeclaration: Sendable {
    package let writes: [ColumnSpec]
    private let columns: Set<ColumnName>
    private let fields: Set<FieldPath>
    private let readsRecord: Bool
    /// Whether the stage also sees undeclared inputs; for the contract kit, which scrambles them.
    private let givesEverything: Bool
    private let asked: AskedInputs?
    /// The column of integers by which records pass the stage by: those that have 0. Nil if none do.
    package let gate: ColumnName?

    /// - Parameter asked: records what the stage asks for without declaring it.
    package init(_ stage: any Stage, givesEverything: Bool = false, noting asked: AskedInputs? = nil) {
        self.init(reads: stage.reads, writes: stage.writes, givesEverything: givesEverything, noting: asked)
    }

    /// - Parameters:
    ///   - asked: records what the stage asks for without declaring it.
    ///   - gate: the column of integers by which records pass the stage by: those that have 0.
    package init(
        reads: [Input], writes: [ColumnSpec], givesEverything: Bool = false, noting asked: AskedInputs? = nil,
        gate: ColumnName? = nil
    ) {
        self.writes = writes
        self.gate = gate
        var columns = Set(writes.map(\.name))
        var fields: Set<FieldPath> = []
        for input in reads {
            switch input {
            case .column(let name, _): columns.insert(name)
            case .field(let path): fields.insert(path)
            case .label(let name):
                columns.insert(ColumnName(name))
                fields.insert(FieldPath(name))
            case .record: break
            }
        }
        (self.columns, self.fields) = (columns, fields)
        readsRecord = reads.contains(.record)
        self.givesEverything = givesEverything
        self.asked = asked
    }

    func type(of name: ColumnName) -> ColumnType? { writes.first { $0.name == name }?.type }

    /// - Parameter kind: what the stage asks for.
    func gives(_ name: ColumnName, _ kind: ColumnKind) -> Bool {
        gives(columns.contains(name), .column(name, kind))
    }

    func gives(_ path: FieldPath) -> Bool { gives(fields.contains(path), .field(path)) }

    var givesRecord: Bool { gives(readsRecord, .record) }

    private func gives(_ isDeclared: Bool, _ input: Input) -> Bool {
        if isDeclared { return true }
        asked?.note(input)
        return givesEverything
    }
}

/// What a stage asked for without declaring it.
package final class AskedInputs: Sendable {
    private let inputs = Mutex<Set<Input>>([])

    package init() {}

    package func note(_ input: Input) { inputs.withLock { _ = $0.insert(input) } }

    /// Sorted by their names.
    package var all: [Input] {
        inputs.withLock { $0.sorted { ($0.description, $0.spelling) < ($1.description, $1.spelling) } }
    }
}

extension Input {
    /// The input as `reads` spells it in Swift.
    package var spelling: String {
        switch self {
        case .column(let name, let kind): ".column(\"\(name)\", \(kind.spelling))"
        case .field(.chat): ".field(.chat)"
        case .field(let path): ".field(\"\(path)\")"
        case .label(let name): ".label(\"\(name)\")"
        case .record: ".record"
        }
    }
}
