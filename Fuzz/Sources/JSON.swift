import SluiceCore
@testable import SluiceIO

private let paths = [FieldPath("prompt"), FieldPath("a.b"), FieldPath("a"), FieldPath.chat]
nonisolated(unsafe) private let fast = extractor(.fast)
nonisolated(unsafe) private let slow = extractor(.slow)
private let arenas = (FieldArena(width: paths.count), FieldArena(width: paths.count))

private func extractor(_ way: JSONExtractor.Way) -> JSONExtractor {
    let extractor = JSONExtractor(paths)
    extractor.way = way
    return extractor
}

func fuzzJSON(_ input: UnsafeRawBufferPointer) {
    // The readable bytes that follow a line in a block.
    let padded = UnsafeMutableRawBufferPointer.allocate(byteCount: input.count + RawBlock.padding, alignment: 64)
    defer { padded.deallocate() }
    for index in padded.indices { padded[index] = index < input.count ? input[index] : 0 }
    let line = UnsafeRawBufferPointer(rebasing: padded[..<input.count])
    arenas.0.removeAll()
    arenas.1.removeAll()
    let (one, other) = (fast.extract(line, into: arenas.0), slow.extract(line, into: arenas.1))
    check(one == other, "the fast way says \(one?.description ?? "good"), the slow way \(other?.description ?? "good")")
    guard one == nil else {
        check(one!.position <= line.count, "the fault lies past the line")
        return
    }
    for field in paths.indices {
        check(arenas.0.kind(0, field) == arenas.1.kind(0, field), "field \(field) is of two kinds")
        check(arenas.0.value(0, field).elementsEqual(arenas.1.value(0, field)), "field \(field) has two values")
        if arenas.0.kind(0, field) == .chat {
            for turn in ChatTurns(encoded: Array(arenas.0.value(0, field))[...]) {
                turn.content.withUnsafeBytes { check(isValidUTF8($0), "a turn is no UTF-8") }
            }
        } else {
            check(isValidUTF8(arenas.0.value(0, field)), "field \(field) is no UTF-8")
        }
    }
}
