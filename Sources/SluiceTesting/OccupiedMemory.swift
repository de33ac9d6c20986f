import Synchronization

/// Memory that is taken for a while, so that what is allocated next has another address. On its address depends the order
/// of each `Set` and `Dictionary`.
final class OccupiedMemory: Sendable {
    private let addresses = Mutex<[UInt]>([])

    /// Takes the addresses that small sets and dictionaries of this thread would get next.
    func take() {
        addresses.withLock { addresses in
            // At first all that have become free before, of which the allocator keeps several of each size.
            for _ in 0..<(addresses.isEmpty ? 16 : 1) {
                for size in stride(from: 64, through: 2048, by: 16) {
                    addresses.append(UInt(bitPattern: UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)))
                }
            }
        }
    }

    deinit {
        addresses.withLock { addresses in
            for address in addresses { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
        }
    }
}
