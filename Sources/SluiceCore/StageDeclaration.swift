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

    func gives(_ name: ColumnName) -> Bool { gives(columns.contains(name), "the column `\(name)`") }

    func gives(_ path: FieldPath) -> Bool { gives(fields.contains(path), "the field `\(path)`") }

    var givesRecord: Bool { gives(readsRecord, "the whole record") }

    private func gives(_ isDeclared: Bool, _ name: @autoclosure () -> String) -> Bool {
        if isDeclared { return true }
        asked?.note(name())
        return givesEverything
    }
}

/// What a stage asked for without declaring it, in words.
package final class AskedInputs: Sendable {
    private let names = Mutex<Set<String>>([])

    package init() {}

    package func note(_ name: String) { names.withLock { _ = $0.insert(name) } }

    /// Sorted.
    package var all: [String] { names.withLock { $0.sorted() } }
}
