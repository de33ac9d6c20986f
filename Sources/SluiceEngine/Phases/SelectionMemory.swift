import SluiceCore

/// The memory of a selection: leased anew as more becomes known of its groups, and held until `giveBack`.
final class SelectionMemory {
    let selection: any Selection
    let name: String
    /// With the most memory that the selection could get; the actual amount is known once the groups are counted.
    private(set) var context: StageContext
    private let link: StageChain.Link
    private let run: RunContext
    /// Memory held at the same time.
    private let beside: [MemoryShares.Part]
    private var part = MemoryShares.Part(name: "", bytes: 0)
    private var held: PhaseLeases?

    init(_ selection: any Selection, _ link: StageChain.Link, _ run: RunContext, beside: [MemoryShares.Part]) {
        (self.selection, self.link, self.run, self.beside) = (selection, link, run, beside)
        name = link.label
        context = run.stage(link, memory: run.shares.most)
    }

    /// What is leased, in bytes.
    var bytes: Int { part.bytes }

    func giveBack() { held?.giveBack() }

    /// Smallest buffer for reading rows in passes.
    static let leastResident = 1 << 20

    /// The least memory for a group: the selection's own state, the outcome, and a chunk of its columns.
    static func bytes(of selection: any Selection, rows: Int, _ context: StageContext) -> Int {
        selection.memory(rows: rows, context) + rows * 40 + leastResident
    }

    func least(_ rows: Int) -> Int { Self.bytes(of: selection, rows: rows, context) }

    /// Memory for a group in addition to its columns.
    func fixedBytes(_ rows: Int) -> Int { least(rows) - Self.leastResident }

    /// Ensures that this many bytes are leased.
    ///
    /// - Parameter purpose: the reason, starting with a space.
    func need(_ bytes: Int, _ purpose: String, advice: String? = nil) throws {
        guard bytes > part.bytes else { return }
        let larger = try run.shares.selection(name, bytes, purpose: purpose, advice: advice, beside: beside)
        held?.giveBack()
        held = try PhaseLeases([larger], of: run.budget, for: name)
        part = larger
        context = run.stage(link, memory: larger.bytes)
    }

    func fault(_ what: String) -> EngineError { EngineError(defect: what, stage: name) }

    /// Names the stage in an error about its data.
    func named<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as EngineError where error.code == .data {
            throw EngineError(.data, "stage `\(name)`: \(error.message)")
        }
    }

    /// Memory of a stage for each group while it divides its budget among the groups.
    private static let perQuota = 48

    /// How many records each group keeps.
    func quotas(for census: GroupCensus.Result) throws -> [Int] {
        let table = census.table
        try need(census.size + table.count * Self.perQuota, " to divide its budget among \(table.count) groups")
        let quotas: [Int]
        do throws(StageError) {
            quotas = try selection.quotas(for: census.groups)
        } catch {
            throw EngineError(error, stage: name)
        }
        if let fault = SelectionRules.fault(inQuotas: quotas, for: census.groups, of: selection) {
            throw self.fault(fault)
        }
        return quotas
    }
}
