import Glibc
import SluiceCore
import SluiceIO

/// The function that libFuzzer calls with each input. `SLUICE_FUZZ_TARGET` names the target.
func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    target(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}

/// libFuzzer's own main, for a program whose build renames `main`.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@_cdecl("fuzz_main")
public func fuzzMain(_ count: CInt, _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
    var count = count
    guard var words else { return 1 }
    return withUnsafeMutablePointer(to: &words) { pointer in
        pointer.withMemoryRebound(to: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?.self, capacity: 1) {
            runDriver(&count, $0) { data, size in fuzzOne(data, size) }
        }
    }
}

private let target: @Sendable (UnsafeRawBufferPointer) -> Void = {
    let name = getenv("SLUICE_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    guard let target = targets[name] else {
        fatalError("SLUICE_FUZZ_TARGET is `\(name)`, and should be one of \(targets.keys.sorted())")
    }
    return target
}()

private let targets: [String: @Sendable (UnsafeRawBufferPointer) -> Void] = [
    "lines": fuzzLines, "json": fuzzJSON, "streams": fuzzStreams, "definition": fuzzDefinition, "workfiles": fuzzWorkFiles,
    "models": fuzzModels,
]

/// Ends the process, which the fuzzer reports as a finding.
func check(_ holds: Bool, _ what: @autoclosure () -> String) {
    if !holds { fatalError(what()) }
}

/// Makes a file in memory with these bytes.
func withFile(_ bytes: UnsafeRawBufferPointer, _ body: (String) -> Void) {
    let path = "/dev/shm/sluice-fuzz-\(getpid())"
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    check(descriptor >= 0 && write(descriptor, bytes.baseAddress, bytes.count) == bytes.count, "no file in /dev/shm")
    close(descriptor)
    body(path)
    unlink(path)
}

/// Takes numbers and bytes from the front of an input.
struct Reader {
    var rest: UnsafeRawBufferPointer

    mutating func byte() -> Int {
        guard let first = rest.first else { return 0 }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
        return Int(first)
    }
}
