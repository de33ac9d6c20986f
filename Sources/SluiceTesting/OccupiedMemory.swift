/// Memory that is taken for a while, so that what is allocated meanwhile has other addresses. On these depends the order
/// of each `Set` and `Dictionary`.
struct OccupiedMemory {
    private let blocks: [UnsafeMutableRawPointer]

    /// - Parameter count: blocks of each size that a small set or dictionary may have.
    init(_ count: Int) {
        blocks = stride(from: 32, through: 2048, by: 16).flatMap { size in
            (0..<count).map { _ in UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16) }
        }
    }

    func free() { for block in blocks { block.deallocate() } }
}
