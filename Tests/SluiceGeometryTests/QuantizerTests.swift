import SluiceCore
import SluiceGeometry
import Testing

@Suite struct QuantizerTests {
    @Test func roundsTheScaledUnitVectorHalfToEven() throws {
        let quantizer = Quantizer(dimension: 4)
        #expect(quantizer.scale == 127.0 * 2 / 8)
        // The unit vector (0.5, 0.5, 0.5, 0.5): 15.875.
        #expect(try quantizer.quantize([2, 2, 2, 2]) == [16, 16, 16, 16])
        #expect(try quantizer.quantize([0, 0, -3, 0]) == [0, 0, -32, 0])
        #expect(try quantizer.quantize([0, 0, 0, 0]) == [0, 0, 0, 0])
        #expect(quantizer.quantize(sums: [0, 0, 0, 0, 7, 7, 7, 7]) == [0, 0, 0, 0, 16, 16, 16, 16])
        #expect(try quantizer.quantize([]) == [])
        let single = Quantizer(dimension: 1)
        #expect(try single.quantize([5, -1e-30, 1e30]) == [16, -16, 16])
    }

    @Test func clipsALongComponent() throws {
        let quantizer = Quantizer(dimension: 256)
        var x = [Float](repeating: 0, count: 256)
        x[3] = -9
        #expect(try quantizer.quantize(x)[3] == -127)
    }

    @Test func refusesWhatIsNotFinite() {
        let quantizer = Quantizer(dimension: 2)
        for bad in [Float.nan, .infinity, -.infinity] {
            #expect(throws: GeometryError.self) { try quantizer.quantize([1, 2, 3, bad]) }
            do { _ = try quantizer.quantize([1, 2, 3, bad]) } catch {
                #expect(error.code == .notFinite && error.row == 1)
            }
        }
        #expect(throws: GeometryError.self) { try quantizer.quantize([1, 2, 3]) }
    }

    @Test func chordAndCosineLimitsAgree() throws {
        let quantizer = Quantizer(dimension: 256)
        let limit = quantizer.squaredLimit(cosine: 0.9)
        #expect(abs(quantizer.chord(fromSquared: limit) - 0.2.squareRoot()) < 1e-3)
        #expect(quantizer.squaredLimit(chord: 0.2.squareRoot()) == limit)
        #expect(quantizer.squaredLimit(chord: 0) == 0)
        #expect(quantizer.squaredLimit(cosine: 1) == 0)
    }

    @Test func keepsDotProducts() throws {
        let d = 256
        let quantizer = Quantizer(dimension: d)
        var generator = SplitMix64(state: 1)
        let x = (0..<2 * d).map { _ in
            (0..<4).reduce(Float(0)) { s, _ in s + Float(Int64(bitPattern: generator.next())) / 1e19 }
        }
        let q = try quantizer.quantize(x)
        func length(_ v: ArraySlice<Float>) -> Double { v.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }
        let exact =
            zip(x[..<d], x[d...]).reduce(0.0) { $0 + Double($1.0) * Double($1.1) } / length(x[..<d]) / length(x[d...])
        #expect(abs(Double(dot(q[..<d], q[d...])) / (quantizer.scale * quantizer.scale) - exact) < 0.01)
    }
}
