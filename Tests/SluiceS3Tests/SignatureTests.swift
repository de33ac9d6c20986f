import SluiceHTTP
import SluiceIO
import Testing

@testable import SluiceS3

@Suite struct SignatureTests {
    /// The credentials and answers of the examples in Amazon S3's API Reference.
    private static let signature = S3Signature(
        credentials: S3Credentials(id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        region: "us-east-1", time: "20130524T000000Z")

    private func signed(_ path: String, _ query: [(String, String)], _ headers: [(String, String)]) -> String {
        let request = S3Signature.Request(
            method: "GET", path: path, query: query.map { (name: $0.0, value: $0.1) },
            host: "examplebucket.s3.amazonaws.com", headers: headers.map { (name: $0.0, value: $0.1) })
        let all = Self.signature.headers(for: request)
        return String(all.first { $0.name == "authorization" }?.value.suffix(64) ?? "")
    }

    @Test func publishedExamplesHaveTheirSignatures() {
        #expect(
            signed("/test.txt", [], [("range", "bytes=0-9")])
                == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
        #expect(
            signed("/", [("prefix", "J"), ("max-keys", "2")], [])
                == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
        #expect(
            signed("/", [("lifecycle", "")], [])
                == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
    }

    @Test func requestsGoWhereTheStoreIs() throws {
        func url(_ bucket: String, _ variables: [String: String]) throws -> String {
            let settings = try S3Settings(
                for: "s3://x/y", variable: { variables[$0] ?? ($0 == "AWS_NO_SIGN_REQUEST" ? "1" : nil) },
                contents: { _ in nil })
            let request = S3Client.Request(bucket: bucket, key: "a/ü +%.zst", query: [("b", "/"), ("a", " ")])
            return S3Client.signed(request, settings, time: "20130524T000000Z").url
        }
        let key = "a/%C3%BC%20%2B%25.zst?a=%20&b=%2F"
        #expect(try url("data", [:]) == "https://data.s3.us-east-1.amazonaws.com/\(key)")
        #expect(
            try url("my.data", ["AWS_REGION": "eu-west-1"]) == "https://s3.eu-west-1.amazonaws.com/my.data/\(key)")
        #expect(
            try url("data", ["AWS_ENDPOINT_URL": "http://localhost:9000/"]) == "http://localhost:9000/data/\(key)")
        #expect(
            try url("data", ["AWS_ENDPOINT_URL": "x", "AWS_ENDPOINT_URL_S3": "https://h:443/p"])
                == "https://h/p/data/\(key)")
    }

    @Test func everyNameIsEncodedAndDecoded() {
        let all = (1...0x2FF).compactMap(Unicode.Scalar.init).map { String(Character($0)) }.joined()
        let encoded = PercentEncoding.encode(all, keepsSlashes: false)
        #expect(encoded.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "+") })
        #expect(Array(PercentEncoding.decode(encoded).utf8) == Array(all.utf8))
        #expect(PercentEncoding.decode("a+b%2Bc%zz%") == "a b+c%zz%")
    }
}

@Suite struct SettingsTests {
    private static let files = [
        "/home/.aws/credentials": """
        # keys
        [default]
        aws_access_key_id = ID0
        aws_secret_access_key=SECRET0

        [work]
        aws_access_key_id=ID1
        aws_secret_access_key = a=b/c
        aws_session_token = T1
        """,
        "/home/.aws/config": """
        [default]
        region = eu-north-1
        [profile work]
        region = us-west-2
        endpoint_url = http://store:9000
        s3 =
          addressing_style = path
        [profile login]
        sso_session = x
        """,
    ]

    private func settings(_ variables: [String: String]) throws -> S3Settings {
        try S3Settings(
            for: "s3://x/y", variable: { variables[$0] ?? ($0 == "HOME" ? "/home" : nil) },
            contents: { Self.files[$0] })
    }

    @Test func settingsAreThoseOfTheEnvironmentAndThenOfTheProfile() throws {
        let plain = try settings([:])
        #expect(plain.credentials == S3Credentials(id: "ID0", secret: "SECRET0") && plain.region == "eu-north-1")
        let work = try settings(["AWS_PROFILE": "work"])
        #expect(work.credentials == S3Credentials(id: "ID1", secret: "a=b/c", token: "T1"))
        #expect(work.region == "us-west-2" && work.endpoint?.host == "store:9000")
        let given = try settings([
            "AWS_PROFILE": "work", "AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "F", "AWS_REGION": "r",
        ])
        #expect(given.credentials == S3Credentials(id: "E", secret: "F") && given.region == "r")
        #expect(try settings(["AWS_NO_SIGN_REQUEST": "YES"]).credentials == nil)
        #expect(try settings(["AWS_NO_SIGN_REQUEST": "false"]).credentials != nil)
    }

    @Test func whatIsMissingIsNamed() {
        func words(_ variables: [String: String]) -> String {
            do {
                _ = try settings(variables)
                return ""
            } catch { return "\(error)" }
        }
        #expect(words(["AWS_PROFILE": "none"]).contains("profile `none`"))
        #expect(words(["AWS_PROFILE": "login"]).contains("aws configure export-credentials"))
        #expect(words(["AWS_ENDPOINT_URL": "store:9000"]).contains("store:9000"))
    }
}

@Suite struct ReplyTests {
    private func page(_ text: String) -> S3Page { S3Page(Array(text.utf8)) }

    @Test func aPageHasItsObjectsAndTheNextPage() {
        let found = page(
            """
            <?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><EncodingType>url</EncodingType>
            <IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b=</NextContinuationToken>
            <Contents><Key>a%20b%2B+%C3%BC.zst</Key><ETag>&quot;abc&quot;</ETag><Size>12</Size>
            <Owner><ID>7</ID></Owner></Contents><CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes>
            <Contents><Key>c</Key><Size>0</Size></Contents><Delimiter/></ListBucketResult>
            """)
        #expect(found.isWhole && found.next == "a&b=")
        #expect(found.entries.map(\.key) == ["a b+ ü.zst", "c"])
        #expect(found.entries.map(\.etag) == ["\"abc\"", nil] && found.entries.map(\.size) == [12, 0])
    }

    @Test func namesThatAreNotEncodedHaveEntities() {
        let found = page(
            "<ListBucketResult><Contents><Key>a&lt;%20&#x26;&#233;+&nope;</Key></Contents></ListBucketResult>")
        #expect(found.entries.map(\.key) == ["a<%20&é+&nope;"] && found.next == nil)
    }

    @Test func whatIsCutOffOrNoListIsNotWhole() {
        let whole = Array("<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>".utf8)
        #expect(S3Page(whole).isWhole)
        for count in 0..<whole.count { #expect(!S3Page(Array(whole[..<count])).isWhole, "\(count)") }
        #expect(!page("<html><body>Welcome</body></html>").isWhole)
        // Another page, and no way to get it.
        #expect(!page("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>").isWhole)
    }

    @Test func errorsAreSaidWithoutTheirSecrets() {
        let body = Array(
            """
            <Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId>\
            <StringToSign>SECRETS</StringToSign></Error>
            """.utf8)
        let settings = try? S3Settings(
            for: "s3://b/k", variable: { $0 == "AWS_NO_SIGN_REQUEST" ? "1" : nil }, contents: { _ in nil })
        guard let settings else { return #expect(Bool(false)) }
        let words = "\(S3Failure.refused("s3://b/k", HTTPResponse(status: 403), body, settings))"
        #expect(words.contains("signature") && !words.contains("AKIASECRET") && !words.contains("SECRETS"))
        let elsewhere = S3Failure.refused(
            "s3://b/k", HTTPResponse(status: 301, headers: ["x-amz-bucket-region": "eu-west-1"]), [], settings)
        #expect("\(elsewhere)".contains("AWS_REGION=eu-west-1"))
    }
}
