import SluiceCore
import Testing

@Suite struct QuantityTests {
    @Test(arguments: [
        ("5%", "5%"), ("5 %", "5%"), ("0.5%", "0.5%"), ("0.123456%", "0.123456%"), ("100%", "100%"),
        ("100.000%", "100%"),
        ("0%", "0%"),
        ("007", "7"), ("10000", "10000"), ("0", "0"),
    ])
    func isReadAsWritten(text: String, description: String) throws {
        let quantity = try #require(Quantity(text))
        #expect(quantity.description == description)
        #expect(Quantity(quantity.description) == quantity)
    }

    @Test(arguments: [
        "", "%", " %", "5  %", " 5%", "-5", "-0%", "+5", "+5%", "1.5", "0.05", "5.%", ".5%", "101%", "100.1%",
        "0.1234567%",
        "1_000",
        "1e3", "5%%", "five", "99999999999999999999",
    ])
    func refusesWhatIsNone(text: String) {
        #expect(Quantity(text) == nil)
    }

    @Test(arguments: [
        ("5%", 100, 5), ("5%", 10, 1), ("5%", 0, 0), ("50%", 3, 2), ("50%", 5, 2), ("50%", 7, 4), ("0.5%", 35_167, 176),
        ("12.5%", 4, 1), ("12.5%", 12, 2), ("12.5%", 20, 2), ("100%", 7, 7), ("0%", 7, 0), ("7", 3, 7),
        ("100%", Int.max, Int.max), ("0.000001%", 1_000_000_000_000, 10_000),
    ])
    func resolvesToTheNearestHalfToEvenAndAtLeastOne(text: String, total: Int, expected: Int) throws {
        #expect(try #require(Quantity(text)).resolve(of: total) == expected)
    }

    @Test func percentFromDoubleEqualsTheText() {
        #expect(Quantity.percent(0.1) == Quantity("0.1%"))
        #expect(Quantity.percent(5) == Quantity("5%"))
        #expect(Quantity.percent(5).isShare && !Quantity.count(5).isShare)
        #expect(Quantity("0%")!.isZero && Quantity("0")!.isZero && !Quantity("0.000001%")!.isZero)
    }

    @Test(arguments: [
        ("5 %", "write 5%"), ("0.05", "write 5% for that share"), ("10k", "write 10000"), ("10,000", "write 10000"),
        ("1_000", "write 1000"), ("120%", "a share is at most 100%"), ("-3", "a count is not negative"),
        ("5.5", "a count is whole; a share is written 5.5%"),
    ])
    func hintSaysWhatToWrite(text: String, hint: String) {
        #expect(Quantity.hint(for: text) == hint)
    }
}

@Suite struct MemorySizeTests {
    @Test(arguments: [
        ("512MiB", 512 << 20), ("64KiB", 64 << 10), ("1.5GiB", 3 << 29), ("2GB", 2_000_000_000), ("1TiB", 1 << 40),
        ("100", 100), ("100B", 100), ("512 MiB", 512 << 20), ("0", 0),
    ])
    func isReadAsWritten(text: String, bytes: Int) {
        #expect(MemorySize.parse(text) == bytes)
    }

    @Test(arguments: [
        "", "MiB", "512M", "512mib", "-5MiB", "-1", "+1", "0x10MiB", "1e3KiB", "nanGiB", "99999999999TiB", "1.2.3GiB",
    ])
    func refusesWhatIsNone(text: String) {
        #expect(MemorySize.parse(text) == nil)
    }

    @Test func isDescribedInTheLargestUnitThatFits() {
        #expect(MemorySize.describe(512 << 20) == "512 MiB")
        #expect(MemorySize.describe(1536) == "1.5 KiB")
        #expect(MemorySize.describe(1023) == "1023 bytes")
    }

    @Test(arguments: [
        (80_320_000, 80_310_000, "76.6 MiB", "76.59 MiB"), (80_320_000, 80_319_000, "76.599 MiB", "76.598 MiB"),
        (80_320_001, 80_320_000, "80320001 bytes", "80320000 bytes"), (1 << 20, 2 << 20, "1 MiB", "2 MiB"),
        (5, 4, "5 bytes", "4 bytes"), (1 << 30, 1 << 30, "1 GiB", "1 GiB"),
        (.max, .max - 1, "9223372036854775807 bytes", "9223372036854775806 bytes"),
    ])
    func twoSizesThatDifferLookDifferent(one: Int, other: Int, oneText: String, otherText: String) {
        #expect(MemorySize.describe(one, beside: other) == (oneText, otherText))
        #expect(MemorySize.describe(other, beside: one) == (otherText, oneText))
    }

    @Test(arguments: [
        ("512M", "write 512MiB"), ("512mb", "write 512MiB"), ("64k", "write 64KiB"), ("1_000", "write 1000"),
    ])
    func hintSaysWhatToWrite(text: String, hint: String) {
        #expect(MemorySize.hint(for: text) == hint)
    }
}
