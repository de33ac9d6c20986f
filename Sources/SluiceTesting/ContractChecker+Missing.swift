import SluiceCore

/// A missing number, of a field or in a column of reals, must not count as 0.
///
/// The kit takes away the highest and the lowest number of each input. If the stage then writes or notes the very numbers
/// that it gives where they are 0, and others where they are there, it has taken them for 0. A filter that writes no
/// number is beyond this: whether it may keep a record without the number, only its author knows.
extension ContractChecker {
    mutating func checkMissingNumbers(_ fresh: () -> any Stage, _ flow: Flow, _ expected: Flow) {
        // A stage that asks would have to ask about the other records, too.
        guard answers.isEmpty else { return }
        for input in fresh().reads {
            let numbers = flow.live.compactMap { row in flow.number(input, of: row).map { (row: row, number: $0) } }
                .filter { $0.number != 0 }
            guard let highest = numbers.max(by: { $0.number < $1.number }),
                let lowest = numbers.min(by: { $0.number < $1.number })
            else { continue }
            // Where 0 is the lowest number, a missing one may well rank like it: last.
            let countsRanks = expected.written.contains(.rank) && lowest.number < 0 && highest.number > 0
            let isZero = [highest.row, lowest.row].allSatisfy { row in
                takesForZero(fresh, flow, expected, input, row, countsRanks)
            }
            if isZero {
                breach(
                    .missing,
                    "a record without a number in \(input.words) counts as one where it is 0. Drop it with a reason of its own, or write NaN to a column of reals"
                )
            }
        }
    }

    private mutating func takesForZero(
        _ fresh: () -> any Stage, _ flow: Flow, _ expected: Flow, _ input: Input, _ row: Int, _ countsRanks: Bool
    ) -> Bool {
        guard
            case .success(let missing) = run(
                fresh(), flow.replacing(input, of: row, byZero: false), Variation(), isQuiet: true),
            countsRanks || missing.hasNumber(row),
            case .success(let zero) = run(
                fresh(), flow.replacing(input, of: row, byZero: true), Variation(), isQuiet: true)
        else { return false }
        let figures = missing.figures(countsRanks)
        return figures == zero.figures(countsRanks) && figures != expected.figures(countsRanks)
    }
}

extension Flow {
    fileprivate func number(_ input: Input, of row: Int) -> Double? {
        switch input {
        case .column(let name, _):
            guard case .real(let bits)? = columns[name]?.cells[row] else { return nil }
            return Double(bitPattern: bits)
        case .field(let path): return records.number(path, of: row)
        case .label, .record: return nil
        }
    }

    fileprivate func replacing(_ input: Input, of row: Int, byZero isZero: Bool) -> Flow {
        var copy = self
        switch input {
        case .column(let name, _):
            let number = isZero ? 0 : Double.nan
            copy.columns[name]?.cells[row] = .real(number.bitPattern)
        case .field(let path): copy.records.replace(path, of: row, byZero: isZero)
        case .label, .record: break
        }
        return copy
    }

    /// Whether the stage has written a number for a record, or noted one where it dropped it.
    fileprivate func hasNumber(_ row: Int) -> Bool {
        if let loss = losses[row] { return loss.measures != "{}" }
        return written.contains { name in
            switch columns[name]?.cells[row] {
            case .integer: name != .rank
            case .real(let bits): !Double(bitPattern: bits).isNaN
            default: false
            }
        }
    }

    /// What the stage wrote and dropped.
    fileprivate func figures(_ countsRanks: Bool) -> Figures {
        Figures(
            columns: columns.filter { written.contains($0.key) && (countsRanks || $0.key != .rank) }, losses: losses)
    }
}

private struct Figures: Equatable {
    let columns: [ColumnName: TableColumn]
    let losses: [Int: Loss]
}
