import Glibc
import SluiceHTTP
import SluiceIO

/// What went wrong with a request to a store, and what to do about it.
enum S3Failure {
    /// The error in a store's answer. Its other fields may hold parts of the signature, and are not read.
    struct Reply {
        private(set) var code = ""
        private(set) var region = ""
        private var message = ""

        init(_ body: [UInt8]) {
            S3XML.forEach(body) { name, text in
                switch name {
                case "Code" where code.isEmpty: code = text
                case "Message" where message.isEmpty: message = text
                case "Region" where region.isEmpty: region = text
                default: break
                }
            }
        }

        /// The store's own words, in one line.
        var words: String { ServerMessage(Array(message.utf8)).words }
    }

    /// A server that can't be reached.
    static func ofConnection(_ path: String, _ error: HTTPError, _ endpoint: S3Settings.Endpoint?) -> IOFailure {
        let server = endpoint.map { $0.scheme + $0.host } ?? "AWS"
        let advice =
            switch error.code {
            case .library: ""
            case .encryption: "Check the address of the store; SSL_CERT_FILE names a file of certificates to trust."
            case .size: "It seems to ignore ranges of bytes, so it can't be read."
            default: "Check the network, and the address of the store in \(S3Settings.Variable.endpoints[0])."
            }
        let found =
            switch error.code {
            case .library: error.description
            case .size: "\(server) sent more bytes than were asked for"
            default: "no answer from \(server): \(error.description)"
            }
        return IOFailure(.cannotRead, path: path, errno: EIO, found: found, advice: advice)
    }

    /// A server that fails again and again.
    static func ofServer(_ path: String, _ reason: String) -> IOFailure {
        IOFailure(
            .cannotRead, path: path, errno: EIO, found: "the store keeps failing; the last time \(reason)",
            advice: "Try again later.")
    }

    /// An object that is another one than when the run looked first.
    static func changed(_ path: String) -> IOFailure {
        IOFailure(
            .changed, path: path, found: "the object changed while it was read",
            advice: "Start over when nothing writes to it.")
    }

    /// An answer that refuses a request.
    static func refused(
        _ path: String, _ response: HTTPResponse, _ body: [UInt8], _ settings: S3Settings
    ) -> IOFailure {
        let (status, reply) = (response.status, Reply(body))
        let header = response.headers["x-amz-bucket-region"] ?? ""
        let region = reply.region.isEmpty ? header : reply.region
        let isElsewhere = ["PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"]
            .contains(reply.code)
        if isElsewhere || [301, 307, 308].contains(status), region != settings.region {
            return failure(
                path, "its bucket is in another region than \(settings.region)",
                region.isEmpty
                    ? "Set AWS_REGION to the bucket's region." : "Set AWS_REGION=\(region).")
        }
        let (found, advice) = words(status, reply, settings)
        return failure(path, found, advice)
    }

    private static func failure(_ path: String, _ found: String, _ advice: String) -> IOFailure {
        IOFailure(.cannotRead, path: path, errno: EIO, found: found, advice: advice)
    }

    private static func words(_ status: Int, _ reply: Reply, _ settings: S3Settings) -> (String, String) {
        switch (reply.code, status) {
        case ("NoSuchBucket", _):
            ("there is no such bucket", "Check its name, and the address of the store in AWS_ENDPOINT_URL_S3.")
        case ("NoSuchKey", _), (_, 404): ("there is no such object", "Check the name.")
        case ("InvalidAccessKeyId", _):
            ("the store does not know the access key", "Check AWS_ACCESS_KEY_ID and the address of the store.")
        case ("SignatureDoesNotMatch", _):
            ("the store refuses the signature", "Check AWS_SECRET_ACCESS_KEY.")
        case ("ExpiredToken", _), ("InvalidToken", _), ("TokenRefreshRequired", _):
            ("the session token has expired or is invalid", "Get new credentials.")
        case ("RequestTimeTooSkewed", _):
            ("this machine's clock differs too much from the store's", "Set the clock.")
        case ("InvalidObjectState", _): ("the object is archived", "Restore it first.")
        case (_, 401), (_, 403):
            settings.credentials == nil
                ? ("access without credentials is denied", "Unset AWS_NO_SIGN_REQUEST, and give credentials.")
                : (
                    "access is denied",
                    "Check the name, and that the credentials allow s3:GetObject and, for patterns, s3:ListBucket."
                )
        default:
            (
                "the store answered \(status)\(reply.code.isEmpty ? "" : " (\(reply.code))")\(reply.words.isEmpty ? "" : ": \(reply.words)")",
                ""
            )
        }
    }
}
