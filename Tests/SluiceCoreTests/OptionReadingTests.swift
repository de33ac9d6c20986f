import SluiceCore
import Testing

@Suite struct OptionReadingTests {
    @Test(arguments: [
        (OptionKind.integer(1...9), "5", OptionValue.integer(5)), (.real(0...1), "1", .real(1)),
        (.real(0...1), "1e-3", .real(0.001)),
        (.flag, "true", .flag(true)), (.quantity, "5", .quantity(.count(5))), (.size, "1KiB", .integer(1024)),
        (.choice(["a", "b"]), "b", .text("b")), (.text, "5", .text("5")), (.path, "a/b", .text("a/b")),
        (.either([.choice(["auto"]), .integer(1...9)]), "auto", .text("auto")),
        (.either([.choice(["auto"]), .integer(1...9)]), "3", .integer(3)),
    ])
    func readsWhatIsSpelled(kind: OptionKind, text: String, value: OptionValue) {
        #expect(kind.value(spelled: text) == value)
        #expect(kind.normalized(value) == value)
    }

    @Test(arguments: [
        (OptionKind.integer(1...9), "10"), (.integer(1...9), "0x5"), (.integer(1...9), "1_0"), (.integer(1...9), "5.0"),
        (.real(0...1), "2"), (.real(0...1), "nan"), (.real(0...1), "0x1p-1"), (.flag, "yes"), (.quantity, "5  %"),
        (.choice(["a"]), "A"), (.list(.text), "a"), (.either([.flag, .integer(1...9)]), "no"),
    ])
    func refusesWhatIsNone(kind: OptionKind, text: String) {
        #expect(kind.value(spelled: text) == nil)
    }

    @Test func valuesFromSwiftTakeTheSameForm() {
        #expect(OptionKind.quantity.normalized("5%") == .quantity(Quantity("5%")!))
        #expect(OptionKind.quantity.normalized(5) == .quantity(.count(5)))
        #expect(OptionKind.size.normalized("1KiB") == 1024)
        #expect(OptionKind.real(0...2).normalized(1) == 1.0)
        #expect(
            OptionKind.list(.quantity).normalized(["5%", 3])
                == .list([.quantity(Quantity("5%")!), .quantity(.count(3))]))
        #expect(OptionKind.list(.integer(0...5)).normalized([1, 6]) == nil)
        #expect(OptionKind.integer(0...5).normalized("1") == nil)
    }

    @Test func resolvingFindsEveryMistakeAndFillsDefaults() {
        let descriptor = Descriptor(
            name: "demo", summary: "Demo.",
            options: [
                OptionSpec("keep", .quantity, default: "5%", help: "h"),
                OptionSpec("size", .integer(1...9), isRequired: true, help: "h", example: "3"),
                OptionSpec("mode", .choice(["fast", "exact"]), default: "exact", help: "h"),
            ])
        let (values, problems) = descriptor.resolving(["mode": "slow", "kep": 1])
        #expect(values["keep"] == .quantity(Quantity("5%")!))
        #expect(
            problems.map(\.message) == [
                "unknown option `kep` of stage `demo`; did you mean `keep`?",
                "option `mode` of stage `demo` must be one of fast, exact, not `\"slow\"`",
                "stage `demo` needs the option `size`: a whole number from 1 to 9, such as `size: 3`",
            ])
        #expect(descriptor.resolving(["size": 2]).problems.isEmpty)
    }
}
