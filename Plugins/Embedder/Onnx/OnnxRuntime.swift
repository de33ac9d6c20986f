import Glibc
import SluiceCore
import Synchronization

/// ONNX Runtime, a library that is loaded at run time.
///
/// Its C interface is a table of functions, `OrtApi`, to which newer versions only append. So version 1 of the table,
/// 102 functions, is the same in every library since 1.0, and neither a header nor linking is needed. The library stays
/// loaded: threads and static objects of its own would not survive being unloaded.
final class OnnxRuntime: Sendable {
    /// The file, or the name that the loader knows.
    let name: String
    /// As the library states it, such as `1.31.1`.
    let version: String
    /// Bytes of the library that may lie in memory.
    let bytes: Int
    private let library: UInt
    private let table: UInt
    /// What all sessions share: an environment without threads, and the description of memory of the processor.
    private let environment: UInt
    private let memory: UInt

    /// The status of a call: null, or an object with a code and a message.
    typealias Status = OpaquePointer?

    /// - Throws: `OnnxFault` if it is no ONNX Runtime.
    private init(name: String, library: UnsafeMutableRawPointer) throws(OnnxFault) {
        self.name = name
        self.library = UInt(bitPattern: library)
        guard let symbol = dlsym(library, "OrtGetApiBase") else {
            throw OnnxFault("it is no ONNX Runtime: it has no function OrtGetApiBase")
        }
        typealias Base = @convention(c) () -> UnsafePointer<UnsafeRawPointer?>?
        guard let base = unsafeBitCast(symbol, to: Base.self)(), let first = base[0], let second = base[1] else {
            throw OnnxFault("it is damaged: it gives no interface")
        }
        let found = unsafeBitCast(second, to: (@convention(c) () -> UnsafePointer<CChar>?).self)()
        version = found.map { String(cString: $0) } ?? "unknown"
        typealias Get = @convention(c) (UInt32) -> UnsafeRawPointer?
        guard let table = unsafeBitCast(first, to: Get.self)(1) else {
            throw OnnxFault("its version \(version) does not offer version 1 of the interface")
        }
        self.table = UInt(bitPattern: table)
        // Code that is not called is not loaded; what is needed for running a model is less than this.
        bytes = 40 << 20
        let calls = Calls(table)
        environment = try calls.made { out in
            // Messages of severity 4 only: others are returned as errors.
            calls.slot(3, as: (@convention(c) (Int32, UnsafePointer<CChar>, Out) -> Status).self)(4, "sluice", out)
        }
        memory = try calls.made { out in
            calls.slot(69, as: (@convention(c) (Int32, Int32, Out) -> Status).self)(1, 0, out)
        }
    }

    /// Where a call puts what it makes.
    typealias Out = UnsafeMutablePointer<OpaquePointer?>

    var calls: Calls { Calls(UnsafeRawPointer(bitPattern: table)) }
    var environmentHandle: OpaquePointer? { OpaquePointer(bitPattern: environment) }
    var memoryHandle: OpaquePointer? { OpaquePointer(bitPattern: memory) }

    /// A function that the library exports beside the table; nil if it does not.
    func export<Function>(_ name: String, as type: Function.Type) -> Function? {
        guard let symbol = dlsym(UnsafeMutableRawPointer(bitPattern: library), name) else { return nil }
        return unsafeBitCast(symbol, to: type)
    }

    // MARK: Finding it

    /// The variable of the environment that names the library's file.
    static let variable = "SLUICE_ONNXRUNTIME"
    private static let known = Mutex<[OnnxRuntime]>([])

    /// The library that the option names, else the one that the environment names, else the loader's.
    ///
    /// - Throws: `StageError` with what was tried and what to do.
    static func find(_ option: String?) throws(StageError) -> OnnxRuntime {
        let advice =
            "Install ONNX Runtime (`make model-minilm` fetches one into .models; PyPI's package onnxruntime has one in its folder capi) and name its file libonnxruntime.so by `library`, or by the environment variable \(variable)"
        if let option { return try load([option], option: "library", else: advice) }
        if let value = getenv(variable), value.pointee != 0 {
            return try load(
                [String(cString: value)], option: "model", from: " of the variable \(variable)", else: advice)
        }
        return try load(["libonnxruntime.so.1", "libonnxruntime.so"], option: "model", else: advice)
    }

    private static func load(
        _ names: [String], option: String, from origin: String = "", else advice: String
    ) throws(StageError) -> OnnxRuntime {
        try known.withLock { (known) throws(StageError) in
            if let found = known.first(where: { names.contains($0.name) }) { return found }
            var reason = ""
            for name in names {
                guard let library = dlopen(name, RTLD_NOW | RTLD_LOCAL) else {
                    reason = dlerror().map { String(cString: $0) } ?? "unknown reason"
                    continue
                }
                do throws(OnnxFault) {
                    let runtime = try OnnxRuntime(name: name, library: library)
                    known.append(runtime)
                    return runtime
                } catch {
                    throw .option(option, "\(name)\(origin) can't be used: \(error.message)")
                }
            }
            if names.count == 1 {
                throw .option(
                    option,
                    "ONNX Runtime can't be loaded: \(names[0])\(origin) is no library that can be (\(reason)). \(advice)"
                )
            }
            throw .option(
                option,
                "`model: onnx` needs the library ONNX Runtime, and the system's loader finds neither \(names.joined(separator: " nor ")). \(advice)"
            )
        }
    }
}

/// Why the runtime refused something: its own message, without line ends.
struct OnnxFault: Error {
    let message: String

    init(_ message: String) {
        let line = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        self.message = line.count > 400 ? line.prefix(400) + "…" : line
    }
}

extension OnnxRuntime {
    /// The functions of the table, by their number.
    struct Calls {
        private let table: UnsafeRawPointer?

        fileprivate init(_ table: UnsafeRawPointer?) { self.table = table }

        /// The function of a number from 0 to 101.
        func slot<Function>(_ number: Int, as type: Function.Type) -> Function {
            let place = table.unsafelyUnwrapped + number * MemoryLayout<UnsafeRawPointer>.stride
            return unsafeBitCast(place.load(as: UnsafeRawPointer.self), to: type)
        }

        /// - Throws: the status's message, if it is an error.
        func check(_ status: Status) throws(OnnxFault) {
            guard let status else { return }
            let message = slot(2, as: (@convention(c) (OpaquePointer) -> UnsafePointer<CChar>?).self)(status)
            let fault = OnnxFault(message.map { String(cString: $0) } ?? "an error without a message")
            release(93, status)
            throw fault
        }

        /// Calls a function of the table that gives an object.
        func made(_ call: (Out) -> Status) throws(OnnxFault) -> UInt {
            var handle: OpaquePointer?
            try check(call(&handle))
            guard handle != nil else { throw OnnxFault("it gives no object") }
            return UInt(bitPattern: handle)
        }

        func release(_ number: Int, _ handle: OpaquePointer?) {
            guard let handle else { return }
            slot(number, as: (@convention(c) (OpaquePointer) -> Void).self)(handle)
        }
    }
}
