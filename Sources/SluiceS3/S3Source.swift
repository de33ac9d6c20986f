import SluiceHTTP
import SluiceIO

/// Gets ranges of one object. Any thread may use it.
struct S3Source: Sendable {
    let client: S3Client
    let address: S3Address
    let path: String
    let facts: S3Facts

    /// Gets the bytes of a range.
    ///
    /// - Parameters:
    ///   - bytes: replaced by them; its room is reused.
    ///   - isOver: whether nobody wants the bytes any more.
    /// - Throws: `IOFailure`; `.changed` if the object is no longer the one of `facts`.
    func read(
        _ range: Range<UInt64>, into bytes: inout [UInt8], isOver: @escaping () -> Bool
    ) throws(IOFailure) {
        var headers = [(name: "range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")]
        // A weak etag equals none in a condition.
        if let etag = facts.etag, !etag.hasPrefix("W/") { headers.append(("if-match", "\"\(etag)\"")) }
        let response = try client.send(
            S3Client.Request(
                bucket: address.bucket, key: address.key, headers: headers, most: range.count, exactly: range.count),
            for: path, into: &bytes, isOver: isOver)
        switch response.status {
        case 206: break
        // The whole object, asked for as a range.
        case 200 where range.count == Int(facts.size): break
        case 200: throw S3Failure.ofConnection(path, HTTPError(.size, "it sent more than was asked for"), nil)
        case 404, 412, 416: throw S3Failure.changed(path)
        default: throw S3Failure.refused(path, response, bytes, try client.settings(for: path))
        }
        let etag = response.headers["etag"].map(S3Facts.bare)
        let isSame = facts.etag == nil || etag == nil || etag == facts.etag
        guard isSame, bytes.count == range.count else { throw S3Failure.changed(path) }
    }
}
