import Glibc
import SluiceCore

/// A model that ONNX Runtime has loaded. Any number of threads may run it at a time: it has no threads of its own, each
/// call computes in its caller's.
final class OnnxSession: Sendable {
    let runtime: OnnxRuntime
    private let handle: UInt
    private let inputNames: CStrings
    private let outputNames: CStrings

    enum Device: String, CaseIterable, Sendable { case cpu, cuda }

    /// The type of numbers, as ONNX numbers them.
    enum Element: Int32, Sendable {
        case float = 1
        case int32 = 6
        case int64 = 7
        case half = 10

        var bytes: Int { self == .int64 ? 8 : self == .half ? 2 : 4 }
    }

    /// Loads a model. Cost: reading the file, and some seconds for a model of a gigabyte.
    ///
    /// - Parameters:
    ///   - inputs: those that `run` will be given, in this order.
    ///   - output: the one that it returns.
    init(
        _ runtime: OnnxRuntime, path: String, device: Device, inputs: [String], output: String
    ) throws(OnnxFault) {
        self.runtime = runtime
        inputNames = CStrings(inputs)
        outputNames = CStrings([output])
        let calls = runtime.calls
        let options = OpaquePointer(
            bitPattern: try calls.made { calls.slot(10, as: (@convention(c) (OnnxRuntime.Out) -> Status).self)($0) })
        defer { calls.release(100, options) }
        try Self.configure(options, runtime, device)
        typealias Create =
            @convention(c) (OpaquePointer?, UnsafePointer<CChar>, OpaquePointer?, OnnxRuntime.Out) -> Status
        handle = try calls.made { calls.slot(7, as: Create.self)(runtime.environmentHandle, path, options, $0) }
    }

    deinit { runtime.calls.release(95, OpaquePointer(bitPattern: handle)) }

    typealias Status = OnnxRuntime.Status

    private static func configure(
        _ options: OpaquePointer?, _ runtime: OnnxRuntime, _ device: Device
    ) throws(OnnxFault) {
        let calls = runtime.calls
        func set(_ slot: Int) throws(OnnxFault) {
            try calls.check(calls.slot(slot, as: (@convention(c) (OpaquePointer?) -> Status).self)(options))
        }
        func set(_ slot: Int, _ value: Int32) throws(OnnxFault) {
            try calls.check(
                calls.slot(slot, as: (@convention(c) (OpaquePointer?, Int32) -> Status).self)(options, value))
        }
        try set(13, 0)  // one operation after the other
        try set(24, 1)  // each in the caller's thread
        try set(25, 1)
        try set(23, 99)  // all optimisations of the graph
        try set(22, 4)
        // Memory for shapes that came before would add up, since texts have all lengths.
        try set(17)
        guard device == .cuda else { return }
        typealias Append = @convention(c) (OpaquePointer?, Int32) -> Status
        guard let append = runtime.export("OrtSessionOptionsAppendExecutionProvider_CUDA", as: Append.self) else {
            throw OnnxFault("the library \(runtime.name) was built without CUDA")
        }
        try calls.check(append(options, 0))
    }

    /// One tensor of an input: its numbers, which must live until the call returns.
    struct Input {
        let data: UnsafeMutableRawPointer
        let element: Element
    }

    /// What a call returned.
    struct Output {
        let shape: [Int]
        let element: Element?
        let data: UnsafeRawPointer
    }

    /// Runs the model on `rows` texts of `columns` tokens each.
    ///
    /// - Parameter body: called with the output, which it must not keep.
    func run<Result>(
        _ inputs: [Input], rows: Int, columns: Int, _ body: (Output) throws(OnnxFault) -> Result
    ) throws(OnnxFault) -> Result {
        let calls = runtime.calls
        var values: [OpaquePointer?] = []
        var found: OpaquePointer?
        defer {
            for value in values { calls.release(96, value) }
            calls.release(96, found)
        }
        for input in inputs { values.append(try tensor(input, rows: rows, columns: columns)) }
        typealias Run =
            @convention(c) (
                OpaquePointer?, OpaquePointer?, UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<OpaquePointer?>,
                Int,
                UnsafePointer<UnsafePointer<CChar>?>, Int, OnnxRuntime.Out
            ) -> Status
        try calls.check(
            calls.slot(9, as: Run.self)(
                OpaquePointer(bitPattern: handle), nil, inputNames.base, values, values.count, outputNames.base, 1,
                &found))
        return try body(try output(found))
    }

    private func tensor(_ input: Input, rows: Int, columns: Int) throws(OnnxFault) -> OpaquePointer? {
        let calls = runtime.calls
        let shape = [Int64(rows), Int64(columns)]
        typealias Create =
            @convention(c) (
                OpaquePointer?, UnsafeMutableRawPointer, Int, UnsafePointer<Int64>, Int, Int32, OnnxRuntime.Out
            ) -> Status
        return OpaquePointer(
            bitPattern: try calls.made {
                calls.slot(49, as: Create.self)(
                    runtime.memoryHandle, input.data, rows * columns * input.element.bytes, shape, 2,
                    input.element.rawValue, $0)
            })
    }

    private func output(_ value: OpaquePointer?) throws(OnnxFault) -> Output {
        let calls = runtime.calls
        let facts = OpaquePointer(
            bitPattern: try calls.made {
                calls.slot(65, as: (@convention(c) (OpaquePointer?, OnnxRuntime.Out) -> Status).self)(value, $0)
            })
        defer { calls.release(99, facts) }
        var rank = 0
        typealias Count = @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int>) -> Status
        try calls.check(calls.slot(61, as: Count.self)(facts, &rank))
        var shape = [Int64](repeating: 0, count: rank)
        typealias Shape = @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int64>, Int) -> Status
        try calls.check(calls.slot(62, as: Shape.self)(facts, &shape, rank))
        var element: Int32 = 0
        typealias Kind = @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>) -> Status
        try calls.check(calls.slot(60, as: Kind.self)(facts, &element))
        var data: UnsafeMutableRawPointer?
        typealias Data = @convention(c) (OpaquePointer?, UnsafeMutablePointer<UnsafeMutableRawPointer?>) -> Status
        try calls.check(calls.slot(51, as: Data.self)(value, &data))
        guard let data else { throw OnnxFault("its output has no numbers") }
        return Output(shape: shape.map(Int.init), element: Element(rawValue: element), data: data)
    }
}

/// Names as C has them, as long as this lives.
private final class CStrings: Sendable {
    private let address: UInt
    private let count: Int

    init(_ texts: [String]) {
        let names = UnsafeMutablePointer<UnsafePointer<CChar>?>.allocate(capacity: max(1, texts.count))
        for (index, text) in texts.enumerated() { (names + index).initialize(to: UnsafePointer(strdup(text))) }
        address = UInt(bitPattern: names)
        count = texts.count
    }

    deinit {
        for index in 0..<count { free(UnsafeMutablePointer(mutating: base[index])) }
        base.deallocate()
    }

    var base: UnsafeMutablePointer<UnsafePointer<CChar>?> {
        UnsafeMutablePointer(bitPattern: address).unsafelyUnwrapped
    }
}
