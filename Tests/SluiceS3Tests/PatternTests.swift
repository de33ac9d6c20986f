import SluiceIO
import Testing

@testable import SluiceS3

@Suite struct PatternTests {
    /// A generator with a seed, so that a failure can be repeated.
    private struct Draws: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 11 &* 0x9E37_79B9_7F4A_7C15
        }

        mutating func word(of letters: [String], most: Int) -> String {
            (0..<Int.random(in: 1...most, using: &self)).map { _ in letters.randomElement(using: &self) ?? "a" }
                .joined()
        }
    }

    /// Keys that a pattern matches among some, by the rules of `S3Inputs`.
    private func matches(_ pattern: String, among keys: Set<String>) -> Set<String> {
        Set(
            S3Pattern.alternatives(of: pattern).flatMap { text -> [String] in
                if keys.contains(text) { return [text] }
                let pattern = S3Pattern(text)
                return keys.filter { key in
                    let isListed =
                        key.hasPrefix(pattern.prefix)
                        && (!pattern.isInOneFolder || !key.dropFirst(pattern.prefix.count).contains("/"))
                    return isListed && pattern.matches(key)
                }
            })
    }

    @Test func patternsOfKeysMatchAsThoseOfFilesDo() throws {
        let folder = "/tmp/sluice-patterns-\(UInt64.random(in: 0...UInt64.max))"
        let files = FileSystem.local
        defer { try? files.removeTree(folder) }
        try files.makeFolder(folder)
        var draws = Draws(state: 7)
        var keys: Set<String> = []
        for _ in 0..<60 {
            let parts = (0..<Int.random(in: 1...3, using: &draws)).map { _ in
                draws.word(of: ["a", "b", ".", "1", "-", "é"], most: 3)
            }.map { [".", ".."].contains($0) ? "x" : $0 }
            var path = folder
            var isFree = true
            for part in parts.dropLast() {
                path += "/\(part)"
                if keys.contains(String(path.dropFirst(folder.count + 1))) {
                    isFree = false
                } else if isFree {
                    try files.makeFolder(path)
                }
            }
            path += "/\(parts.last ?? "x")"
            guard isFree, try files.status(of: path) == nil else { continue }
            try files.write([], to: path)
            keys.insert(String(path.dropFirst(folder.count + 1)))
        }
        #expect(keys.count > 20)
        var found = 0
        for _ in 0..<2000 {
            let pattern = draws.word(
                of: ["a", "b", ".", "1", "/", "*", "?", "[ab]", "[!a]", "{a,b}", "{a,{1,*}b}", "{}", "*/*"], most: 5)
            // A file system takes `a/` for the file `a`.
            guard !pattern.hasPrefix("/"), !pattern.contains("//"),
                S3Pattern.alternatives(of: pattern).allSatisfy({ !$0.hasSuffix("/") })
            else { continue }
            // The file system also matches folders, which a store does not have.
            let local = try files.inputs(matching: "\(folder)/\(pattern)").filter {
                try files.status(ofInput: $0)?.isFolder == false
            }
            // Nor has it `.` and `..`, nor two slashes for one.
            let names = Set(local.map { String($0.dropFirst(folder.count + 1)) }).filter { name in
                name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
                    !["", ".", ".."].contains($0)
                }
            }
            #expect(matches(pattern, among: keys) == names, "\(pattern)")
            found += names.count
        }
        #expect(found > 500)
    }

    @Test func bracesExpandAsInAShell() {
        #expect(S3Pattern.alternatives(of: "a{b,c{d,e}}f") == ["abf", "acdf", "acef"])
        #expect(S3Pattern.alternatives(of: "{a,b}{1,2}") == ["a1", "a2", "b1", "b2"])
        #expect(S3Pattern.alternatives(of: "a{}b{,c}") == ["ab", "abc"])
        for plain in ["a{b", "a}b", "plain"] { #expect(S3Pattern.alternatives(of: plain) == [plain]) }
    }

    @Test func addressesNameABucketAndAKey() throws {
        let address = try S3Address("s3://bucket/a//b c+%é")
        #expect(address.bucket == "bucket" && address.key == "a//b c+%é" && address.path == "s3://bucket/a//b c+%é")
        for wrong in ["s3://", "s3:///key", "s3://b*/key", "s3://bucket", "s3://bucket/"] {
            #expect(throws: IOFailure.self, "\(wrong)") { try S3Address(wrong) }
        }
    }
}
