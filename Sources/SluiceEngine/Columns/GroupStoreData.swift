import SluiceCore
import SluiceIO

/// The columns of a group that has a section of a store to itself.
struct GroupStoreData: GroupData {
    let groups: GroupStore
    let rows: Range<Int>
    let residentBytes: Int

    func hashes() throws(StageError) -> [ContentHash] {
        let (high, low) = (try numbers(GroupStore.hashHigh), try numbers(GroupStore.hashLow))
        return zip(high, low).map {
            ContentHash(high: UInt64(bitPattern: $0), low: UInt64(bitPattern: $1))
        }
    }

    func vectors(_ name: ColumnName) throws(StageError) -> any VectorSource {
        guard case .vector? = groups.type(of: name) else {
            throw .missingColumn(name, "vectors", found: groups.type(of: name))
        }
        do throws(IOFailure) {
            return try groups.vectors(name, rows, residentBytes: residentBytes)
        } catch {
            throw StageError(.io, error.description)
        }
    }

    func values(_ name: ColumnName) throws(StageError) -> Column {
        switch groups.type(of: name) {
        case .integer: return .integers(try numbers(name))
        case .real:
            do throws(IOFailure) { return .reals(try groups.reals(name, rows)) } catch {
                throw StageError(.io, error.description)
            }
        case let other: throw .missingColumn(name, "integers or reals", found: other)
        }
    }

    private func numbers(_ name: ColumnName) throws(StageError) -> [Int64] {
        do throws(IOFailure) { return try groups.integers(name, rows) } catch {
            throw StageError(.io, error.description)
        }
    }
}
