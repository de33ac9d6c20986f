public import Glibc
public import SluiceIO
import Synchronization

/// A file system in which the n-th call of given kinds fails, to test that a program survives every fault.
///
/// Run again and again, with the first, the second, the third, … call failing:
///
/// ```swift
/// for n in 1... {
///     let faulty = FaultyFileSystem(failing: n, of: [.write, .flush], with: .error(ENOSPC))
///     options.fileSystem = faulty.fileSystem
///     // Run, and look at what is left.
///     if !faulty.hasFailed { break }  // There was no n-th call: all have been tested.
/// }
/// ```
///
/// Calls are counted over all threads, so with several threads the n-th call may differ from run to run. With one
/// thread a run repeats the same calls.
public final class FaultyFileSystem: Sendable {
    /// The way in which the call fails.
    public enum Fault: Sendable, Hashable {
        /// It is not made and fails with this error number, such as `EIO`, `ENOSPC` or `EMFILE`.
        case error(Int32)
        /// A write writes this many bytes, then fails with the error number. Other calls just fail.
        case torn(after: Int, Int32)
    }

    /// How many calls fail.
    public enum Extent: Sendable, Hashable {
        /// One call fails; later ones succeed.
        case once
        /// All calls of these kinds fail from the n-th on, as on a disk that is full or gone.
        case fromThenOn
    }

    private let nth: Int
    private let operations: Set<FileSystem.Operation>
    private let fault: Fault
    private let extent: Extent
    private let counted = Atomic<Int>(0)
    private let place = Mutex<(operation: FileSystem.Operation, path: String)?>(nil)

    /// - Parameters:
    ///   - nth: the first call that fails, from 1; 0 fails none and only counts.
    ///   - operations: the kinds of calls that are counted and may fail; all kinds by default.
    public init(
        failing nth: Int, of operations: Set<FileSystem.Operation> = FaultyFileSystem.allOperations,
        with fault: Fault = .error(EIO), _ extent: Extent = .once
    ) {
        self.nth = nth
        self.operations = operations
        self.fault = fault
        self.extent = extent
    }

    /// Every kind of call.
    public static let allOperations: Set<FileSystem.Operation> = [
        .open, .read, .write, .flush, .rename, .remove, .makeFolder, .readFolder, .stat, .lock,
    ]

    /// The number of counted calls so far.
    public var calls: Int { counted.load(ordering: .relaxed) }

    /// Whether a call has failed.
    public var hasFailed: Bool { failed != nil }

    /// The first call that failed; nil if none did.
    public var failed: (operation: FileSystem.Operation, path: String)? { place.withLock { $0 } }

    /// `FileSystem.local` with the fault.
    public var fileSystem: FileSystem { disturb(.local) }

    /// `fileSystem` with the fault.
    public func disturb(_ fileSystem: FileSystem) -> FileSystem {
        fileSystem.intercepting { [self] operation, path in
            guard operations.contains(operation) else { return .proceed }
            let number = counted.add(1, ordering: .relaxed).newValue
            guard nth > 0, extent == .once ? number == nth : number >= nth else { return .proceed }
            place.withLock { if $0 == nil { $0 = (operation, path) } }
            switch fault {
            case .error(let code): return .fail(code)
            case .torn(let bytes, let code): return .tear(after: bytes, code)
            }
        }
    }
}
