import Glibc
import SluiceIO

/// Where a store is and who asks, from what AWS's own programs read: environment variables, then the profile in
/// `~/.aws/config` and `~/.aws/credentials`.
struct S3Settings: Sendable {
    /// The address of a store other than AWS.
    struct Endpoint: Sendable, Hashable {
        /// `http://` or `https://`.
        let scheme: String
        /// With the port, unless it is the usual one of the scheme.
        let host: String
        /// Without a `/` at the end.
        let path: String

        /// Nil if it is no address of a server.
        init?(_ text: String) {
            guard let scheme = ["http://", "https://"].first(where: { text.lowercased().hasPrefix($0) }) else {
                return nil
            }
            let rest = text.dropFirst(scheme.count)
            guard !rest.contains(where: { "@?# ".contains($0) }) else { return nil }
            let host = rest.prefix { $0 != "/" }
            guard !host.isEmpty else { return nil }
            let usual = scheme == "http://" ? ":80" : ":443"
            self.scheme = scheme
            self.host = String(host.hasSuffix(usual) ? host.dropLast(usual.count) : host)
            var path = String(rest.dropFirst(host.count))
            while path.hasSuffix("/") { path.removeLast() }
            self.path = path
        }
    }

    let endpoint: Endpoint?
    let region: String
    /// Nil for requests that are not signed.
    let credentials: S3Credentials?

    /// Names that AWS's programs read, but for the last, which is GDAL's and that of many others.
    enum Variable {
        static let endpoints = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        static let regions = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        static let unsigned = "AWS_NO_SIGN_REQUEST"
    }

    /// - Parameters:
    ///   - path: the input that needs them, for messages.
    ///   - variable: the value of an environment variable; nil if it isn't set or empty.
    ///   - contents: the text of a file; nil if it can't be read.
    /// - Throws: `IOFailure` if there are no credentials, or the endpoint is no address.
    init(
        for path: String, variable: (String) -> String? = Self.variable, contents: (String) -> String? = Self.contents
    ) throws(IOFailure) {
        let home = variable("HOME") ?? ""
        let name = variable("AWS_PROFILE") ?? "default"
        let files = [
            (variable("AWS_CONFIG_FILE") ?? "\(home)/.aws/config", name == "default" ? name : "profile \(name)"),
            (variable("AWS_SHARED_CREDENTIALS_FILE") ?? "\(home)/.aws/credentials", name),
        ]
        var profile: [String: String] = [:]
        for (file, section) in files {
            guard let text = contents(file) else { continue }
            profile.merge(Self.section(section, of: text)) { $1 }
        }
        let address = Variable.endpoints.lazy.compactMap(variable).first ?? profile["endpoint_url"]
        endpoint = address.flatMap(Endpoint.init)
        if let address, endpoint == nil {
            throw IOFailure(
                .cannotOpen, path: path, found: "the endpoint of the store, \(address), is no address of a server",
                advice: "Set \(Variable.endpoints[0]) to one such as https://s3.example.org.")
        }
        region = Variable.regions.lazy.compactMap(variable).first ?? profile["region"] ?? "us-east-1"
        if let flag = variable(Variable.unsigned)?.lowercased(), !["0", "no", "false", "off"].contains(flag) {
            credentials = nil
            return
        }
        credentials = try Self.credentials(path, variable, profile, name: name)
    }

    private static func credentials(
        _ path: String, _ variable: (String) -> String?, _ profile: [String: String], name: String
    ) throws(IOFailure) -> S3Credentials {
        if let id = variable("AWS_ACCESS_KEY_ID"), let secret = variable("AWS_SECRET_ACCESS_KEY") {
            return S3Credentials(id: id, secret: secret, token: variable("AWS_SESSION_TOKEN"))
        }
        if let id = profile["aws_access_key_id"], let secret = profile["aws_secret_access_key"] {
            return S3Credentials(id: id, secret: secret, token: profile["aws_session_token"])
        }
        let hasOther = profile.keys.contains {
            $0.hasPrefix("sso_") || ["role_arn", "credential_process", "source_profile", "login_session"].contains($0)
        }
        throw IOFailure(
            .cannotOpen, path: path, errno: EACCES,
            found: hasOther
                ? "the profile `\(name)` has no keys, but a way to get some"
                : "there are no credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor a profile `\(name)` with keys",
            advice: hasOther
                ? #"Run `eval "$(aws configure export-credentials --format env)"` first."#
                : "Set these variables, or \(Variable.unsigned)=1 for a public bucket.")
    }

    /// The entries of a section of an INI file, names in lower case. Indented lines belong to nested settings.
    private static func section(_ name: String, of text: String) -> [String: String] {
        var entries: [String: String] = [:]
        var isInside = false
        for line in text.split(whereSeparator: \.isNewline) {
            guard let first = line.first, !first.isWhitespace, first != "#", first != ";" else { continue }
            if first == "[" {
                let words = line.dropFirst().prefix { $0 != "]" }.split(whereSeparator: \.isWhitespace)
                isInside = words.joined(separator: " ") == name
            } else if isInside, let equals = line.firstIndex(of: "=") {
                let value = trimmed(line[line.index(after: equals)...])
                if !value.isEmpty { entries[trimmed(line[..<equals]).lowercased()] = value }
            }
        }
        return entries
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    private static func variable(_ name: String) -> String? {
        guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
        return value
    }

    private static func contents(_ file: String) -> String? {
        (try? FileSystem.local.contents(of: file)).map { String(decoding: $0, as: UTF8.self) }
    }
}
