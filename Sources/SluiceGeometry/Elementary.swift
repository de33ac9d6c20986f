/// Logarithm and exponential from `+ - * /` alone, so that the last bit is the same on every machine, unlike libm's.
public enum Elementary {
    /// ln 2 in two parts whose sum is exact to more than a Double; the first has few enough bits that k · high is
    /// exact.
    private static let ln2High = 0x1.62e42fee00000p-1
    private static let ln2Low = 0x1.a39ef35793c76p-33

    /// The natural logarithm of a positive finite number, to within 2 units in the last place.
    /// `x = m · 2^e` with m in [1/√2, √2); `ln m = 2 artanh((m - 1)/(m + 1))` by its series. Zero gives -infinity.
    public static func log(_ x: Double) -> Double {
        if !(x > 0) { return x == 0 ? -.infinity : .nan }
        if x == .infinity { return x }
        var m = x.significand
        var e = Double(x.exponent)
        if m > 1.4142135623730951 {
            m /= 2
            e += 1
        }
        let t = (m - 1) / (m + 1)
        let square = t * t
        // |t| < 0.1716, so the 12th term is below 2^-60 of the first.
        var sum = 0.0
        var n = 25.0
        while n >= 3 {
            sum = (sum + 1 / n) * square
            n -= 2
        }
        return e * ln2High + (2 * t + (2 * t * sum + e * ln2Low))
    }

    /// e^x, to within 2 units in the last place: `x = k ln 2 + r` with |r| <= ln 2 / 2, and Taylor's series of r.
    public static func exp(_ x: Double) -> Double {
        if x.isNaN { return x }
        if x > 709.7 { return .infinity }
        if x < -745 { return 0 }
        let k = (x / (ln2High + ln2Low)).rounded()
        let r = (x - k * ln2High) - k * ln2Low
        var sum = 1.0
        var n = 18.0
        while n >= 1 {
            sum = 1 + sum * r / n
            n -= 1
        }
        return Double(sign: .plus, exponent: Int(k), significand: sum)
    }
}
