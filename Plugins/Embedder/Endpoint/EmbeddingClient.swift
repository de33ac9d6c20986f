import SluiceCore
import SluiceHTTP

/// Asks a server for vectors, by a connection of its own. One thread uses it at a time.
final class EmbeddingClient {
    private let plan: EndpointPlan
    private let habits: ServerHabits
    private let connection: HTTPConnection
    private var request: HTTPRequest
    /// Whether the request asks for base64; another thread may find meanwhile that the server has none.
    private var asksBase64 = true
    private var reply: [UInt8] = []

    /// Texts shorter than this are not cut any more: a server that refuses them has another reason.
    private static let shortestCut = 16
    /// How often a request is sent whose replies make no sense.
    private static let wrongReplies = 3

    init(_ plan: EndpointPlan, _ habits: ServerHabits) throws(StageError) {
        self.plan = plan
        self.habits = habits
        do throws(HTTPError) { connection = try HTTPConnection() } catch {
            throw StageError(.io, "`model: endpoint` needs libcurl: \(error)")
        }
        let seconds = Double(plan.timeout)
        request = HTTPRequest(
            .post, plan.url, headers: [("Content-Type", "application/json"), ("Accept", "application/json")],
            limits: HTTPLimits(connect: min(30, seconds), total: seconds, answer: plan.longestReply))
        if let key = plan.key { request.headers.append(("Authorization", "Bearer \(key)")) }
        reply.reserveCapacity(plan.longestReply)
        request.body.reserveCapacity(plan.longestRequest)
    }

    /// Gets the vectors of as many texts as the server takes at a time, from the first on.
    ///
    /// - Parameter questions: texts with their prefix.
    /// - Returns: answers for the log, at least one.
    func answers(to questions: [[UInt8]], isStopped: () -> Bool) throws(StageError) -> [[UInt8]] {
        var count = min(questions.count, habits.most)
        var first = questions[0]
        while true {
            count = fill([first] + questions[1..<count])
            switch try outcome(count, isStopped) {
            case .vectors(let reply):
                return (0..<count).map { index in
                    EndpointAnswer.encode(
                        reply.vectors[(index * plan.dimension)..<((index + 1) * plan.dimension)],
                        isCut: index == 0 && first.count < questions[0].count,
                        embedded: (index == 0 ? first : questions[index]).count - plan.prefix.count)
                }
            case .otherForm: continue
            case .tooLarge(let refusal) where count > 1:
                count = (count + 1) / 2
                if refusal.isOfBatch { habits.takesAtMost(count) }
            case .tooLarge(let refusal): first = try cut(first, refusal)
            case .notFinite(let text) where count > 1: count = max(1, text)
            case .notFinite:
                throw StageError(
                    .invalidData,
                    "\(server) gives NaN or infinity in the vector of this text; leave the record out, or use another server or model"
                )
            }
        }
    }

    // MARK: Requests

    /// Makes the body of a request of texts, as many as fit.
    ///
    /// - Returns: their number, at least 1.
    private func fill(_ texts: [[UInt8]]) -> Int {
        var count = 0
        asksBase64 = !habits.takesOnlyFloats
        request.body.removeAll(keepingCapacity: true)
        request.body += Array("{\"model\":".utf8)
        JSONValue.text(plan.name).write(to: &request.body)
        request.body += Array(",\"encoding_format\":\"\(asksBase64 ? "base64" : "float")\"".utf8)
        if plan.asksDimensions { request.body += Array(",\"dimensions\":\(plan.dimension)".utf8) }
        request.body += Array(",\"input\":[".utf8)
        for text in texts {
            let before = request.body.count
            if count > 0 { request.body.append(UInt8(ascii: ",")) }
            // Bytes that are no UTF-8 become U+FFFD: a server would refuse the whole request for them.
            JSONValue.text(String(decoding: text, as: UTF8.self)).write(to: &request.body)
            if count > 0, request.body.count > plan.batch.bytes {
                request.body.removeLast(request.body.count - before)
                break
            }
            count += 1
        }
        request.body += Array("]}".utf8)
        return count
    }

    private enum Outcome {
        case vectors(EmbeddingReply)
        case tooLarge(Refusal)
        /// The server has no base64, which is known from now on.
        case otherForm
        /// The number of a text whose vector is not finite.
        case notFinite(Int)
    }

    /// Sends the request until there is an outcome.
    private func outcome(_ count: Int, _ isStopped: () -> Bool) throws(StageError) -> Outcome {
        var (failures, wrong) = (0, 0)
        while true {
            let verdict = try verdict(count, isStopped)
            let delay: Double?
            switch verdict {
            case .vectors(let reply): return .vectors(reply)
            case .refused(let refusal): return .tooLarge(refusal)
            case .noBase64: return .otherForm
            case .notFinite(let text) where count > 1: return .notFinite(text)
            case .notFinite(let text):
                wrong += 1
                if wrong >= Self.wrongReplies { return .notFinite(text) }
                delay = Backoff(attempts: .max).delay(after: wrong, asked: nil)
            case .wrong(let words):
                wrong += 1
                if wrong >= Self.wrongReplies { throw failure("\(words), \(wrong) times") }
                delay = Backoff(attempts: .max).delay(after: wrong, asked: nil)
            case .passing(let words, let wait):
                failures += 1
                delay = plan.backoff.delay(after: failures, asked: wait)
                if delay == nil { throw exhausted(words, wait, failures) }
            }
            guard let delay else { throw failure("fails") }
            Backoff.wait(seconds: delay, isStopped: isStopped)
            if isStopped() { throw StageError(.io, "stopped") }
        }
    }

    private func exhausted(_ words: String, _ wait: Double?, _ failures: Int) -> StageError {
        if let wait, wait > plan.backoff.patience {
            return failure("\(words), and asks for a wait of \(Int(wait)) seconds; start again with --resume then")
        }
        return failure(
            "\(words), \(failures) times; what it has answered is kept, so start again with --resume once it works")
    }

    /// The first half of a text.
    private func cut(_ question: [UInt8], _ refusal: Refusal) throws(StageError) -> [UInt8] {
        let text = question[plan.prefix.count...]
        guard plan.tooLong == .cut else {
            throw StageError(
                .invalidData,
                "\(server) refuses this text of \(text.count) bytes: \(refusal.words); `long: cut` would cut it"
            )
        }
        let half = UTF8Cut.place(in: text, atMost: text.count / 2)
        guard half >= Self.shortestCut else {
            throw StageError(
                .invalidData,
                "\(server) refuses a text of this record, even its first \(text.count) bytes: \(refusal.words)"
            )
        }
        return plan.prefix + text.prefix(half)
    }

    // MARK: Answers

    /// A request that the server finds too large.
    struct Refusal {
        let words: String
        /// Whether it is about the number of texts, not about the length of one.
        let isOfBatch: Bool
    }

    private enum Verdict {
        case vectors(EmbeddingReply)
        case refused(Refusal)
        case noBase64
        case notFinite(Int)
        /// The same request may give another reply; what was wrong, in words.
        case wrong(String)
        /// The same request may succeed later; what was found, and how long the server says to wait.
        case passing(String, wait: Double?)
    }

    /// Sends the request once.
    ///
    /// - Throws: what no other request would change.
    private func verdict(_ count: Int, _ isStopped: () -> Bool) throws(StageError) -> Verdict {
        let response: HTTPResponse
        do throws(HTTPError) {
            response = try connection.send(request, into: &reply, isStopped: isStopped)
        } catch {
            switch error.code {
            case .stopped: throw StageError(.io, "stopped")
            case .size where count > 1: return .refused(Refusal(words: error.description, isOfBatch: true))
            case .size: return .wrong("sends too much: \(error)")
            default: break
            }
            guard error.isTransient else { throw failure("can't be asked: \(error)") }
            return .passing("can't be reached, or breaks off: \(error)", wait: nil)
        }
        return response.isSuccess ? try vectors(count) : try refusal(response)
    }

    private func vectors(_ count: Int) throws(StageError) -> Verdict {
        do throws(WrongReply) {
            return .vectors(try EmbeddingReply(reply, count: count, dimension: plan.dimension))
        } catch {
            switch error {
            case .form(let words):
                let said = ServerMessage(reply).words.prefix(120)
                return .wrong("sends a reply that can't be used (\(words)\(said.isEmpty ? "" : ": \(said)"))")
            case .count(let found): return .wrong("sends \(found) vectors for \(count) texts")
            case .notFinite(let text): return .notFinite(text)
            case .dimension(let found):
                let advice =
                    plan.asksDimensions
                    ? "it can't make vectors of \(plan.dimension); write `dimensions: \(found)`"
                    : "write `dimensions: \(found)`, or `request_dimensions: true` if the server can make them shorter"
                throw failure("sends vectors of \(found) dimensions, not \(plan.dimension): \(advice)")
            }
        }
    }

    private func refusal(_ response: HTTPResponse) throws(StageError) -> Verdict {
        if let place = response.redirect {
            throw failure("says to go to \(place); write that address as `url`, if it is to be trusted")
        }
        let message = ServerMessage(reply)
        let words = "answered \(response.status)" + (message.words.isEmpty ? "" : ": \(message.words)")
        let lower = (message.words + " " + (message.code ?? "")).lowercased()
        if lower.contains("insufficient_quota") || message.code == "insufficient_quota" {
            throw failure(words + "; what it has answered is kept, so start again with --resume once there is credit")
        }
        if [400, 422].contains(response.status), asksBase64,
            lower.contains("encoding_format") || lower.contains("base64")
        {
            habits.noteOnlyFloats()
            return .noBase64
        }
        let isOfText = ["token", "context", "too long"].contains { lower.contains($0) }
        let isOfSize = isOfText || ["batch", "too large", "too many inputs", "maximum"].contains { lower.contains($0) }
        if [413, 422].contains(response.status) || [400, 500].contains(response.status) && isOfSize {
            return .refused(Refusal(words: clean(words), isOfBatch: !isOfText))
        }
        guard !response.isTransient else { return .passing(words, wait: response.retryAfter) }
        switch response.status {
        case 401, 403:
            let key = plan.keyVariable.map { "the key in the environment variable \($0)" }
            throw failure(words + "; check \(key ?? "whether it needs a key, which `key_env` would name")")
        case 404, 405: throw failure(words + "; check `url` (\(plan.url)) and `name` (\(plan.name))")
        default: throw failure(words)
        }
    }

    // MARK: Messages

    private var server: String { "the server at \(plan.url)" }

    private func failure(_ what: String) -> StageError { StageError(.io, clean("\(server) \(what)")) }

    /// Servers repeat keys in their messages.
    private func clean(_ words: String) -> String {
        guard let key = plan.key, words.contains(key) else { return words }
        return words.split(separator: key, omittingEmptySubsequences: false).joined(separator: "***")
    }
}
