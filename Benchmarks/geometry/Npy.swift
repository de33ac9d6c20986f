import Glibc

/// The part of NumPy's file format for two-dimensional int8 and one-dimensional int64.
enum Npy {
    struct Vectors {
        let values: [Int8]
        let rows: Int
        let dimension: Int
    }

    static func readInt8(_ path: String) -> Vectors {
        guard let file = fopen(path, "rb") else { fail("can't open \(path)") }
        defer { fclose(file) }
        var start = [UInt8](repeating: 0, count: 10)
        guard fread(&start, 1, 10, file) == 10, start[1...5].elementsEqual("NUMPY".utf8) else { fail("\(path) is no .npy file") }
        var header = [UInt8](repeating: 0, count: Int(start[8]) | Int(start[9]) << 8)
        guard fread(&header, 1, header.count, file) == header.count else { fail("\(path) ends early") }
        let text = String(decoding: header, as: UTF8.self)
        guard text.contains("'|i1'"), let shape = text.split(separator: "(").last?.split(separator: ")").first else {
            fail("\(path) holds no int8: \(text)")
        }
        let sizes = shape.split(separator: ",").compactMap { Int($0.filter(\.isNumber)) }
        guard sizes.count == 2 else { fail("\(path) has not two dimensions") }
        let count = sizes[0] * sizes[1]
        let values = [Int8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = fread(buffer.baseAddress, 1, count, file)
        }
        guard values.count == count else { fail("\(path) ends early") }
        return Vectors(values: values, rows: sizes[0], dimension: sizes[1])
    }

    /// - Parameter shape: as Python writes it.
    static func write<Element: BitwiseCopyable>(_ values: [Element], type: String, shape: String, to path: String) {
        var header = Array("{'descr': '\(type)', 'fortran_order': False, 'shape': \(shape), }".utf8)
        while (header.count + 11) % 64 != 0 { header.append(UInt8(ascii: " ")) }
        header.append(UInt8(ascii: "\n"))
        let start: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.count & 255), UInt8(header.count >> 8)]
        guard let file = fopen(path, "wb") else { fail("can't write \(path)") }
        fwrite(start, 1, start.count, file)
        fwrite(header, 1, header.count, file)
        _ = values.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
        fclose(file)
    }

    static func fail(_ message: String) -> Never {
        let line = Array("geometry-bench: \(message)\n".utf8)
        _ = Glibc.write(2, line, line.count)
        exit(1)
    }
}
