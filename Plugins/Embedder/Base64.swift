/// Base64 of 32-bit numbers, the lowest byte first (RFC 4648, with or without `=` at the end).
enum Base64 {
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (value, letter) in letters.utf8.enumerated() { values[Int(letter)] = UInt8(value) }
        return values
    }()

    /// - Returns: nil if the text is no base64, or ends in the middle of a number.
    static func floats(_ text: Slice<UnsafeBufferPointer<UInt8>>, reserving count: Int) -> [Float]? {
        var text = text
        while text.last == UInt8(ascii: "="), text.count > 1 { text.removeLast() }
        var floats: [Float] = []
        floats.reserveCapacity(count)
        // Bits that make no whole byte yet, and bytes that make no whole number yet.
        var (bits, bitCount): (UInt32, UInt32) = (0, 0)
        var (number, byteCount): (UInt32, UInt32) = (0, 0)
        let isSound = values.withUnsafeBufferPointer { values in
            for letter in UnsafeBufferPointer(rebasing: text) {
                let value = values[Int(letter)]
                // Some writers escape the slash; no other letter has a backslash before it.
                if letter == UInt8(ascii: "\\") { continue }
                guard value != 255 else { return false }
                bits = bits << 6 | UInt32(value)
                bitCount += 6
                guard bitCount >= 8 else { continue }
                bitCount -= 8
                number |= (bits >> bitCount & 0xFF) << (8 * byteCount)
                byteCount += 1
                if byteCount == 4 {
                    floats.append(Float(bitPattern: number))
                    (number, byteCount) = (0, 0)
                }
            }
            return byteCount == 0 && bits & ((1 << bitCount) - 1) == 0
        }
        return isSound ? floats : nil
    }
}
