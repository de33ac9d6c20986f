import FaultServer
import Glibc
import SluiceHTTP
import Synchronization
import Testing

/// libcurl against a server in a process of its own.
@Suite(.serialized) struct HTTPConnectionTests {
    private let server: FaultServer?
    private let connection: HTTPConnection?

    init() throws {
        server = FaultServer.start()
        do throws(HTTPError) { connection = try HTTPConnection() } catch {
            print("skipped: \(error)")
            connection = nil
        }
    }

    /// Asks for one text's vector; returns the answer, its body, and what else the test sets.
    private func send(
        _ path: String, texts: Int = 1, limits: HTTPLimits = HTTPLimits(), isStopped: () -> Bool = { false }
    ) throws -> (response: HTTPResponse, body: String)? {
        guard let server, let connection else { return nil }
        let inputs = (0..<texts).map { "\"text \($0)\"" }.joined(separator: ",")
        let request = HTTPRequest(
            .post, "http://127.0.0.1:\(server.port)/\(path)/v1/embeddings",
            headers: [("Content-Type", "application/json"), ("Authorization", "Bearer secret")],
            body: Array(#"{"model":"m","input":[\#(inputs)]}"#.utf8), limits: limits)
        var body: [UInt8] = []
        let response = try connection.send(request, into: &body, isStopped: isStopped)
        return (response, String(decoding: body, as: UTF8.self))
    }

    private func error(
        _ path: String, limits: HTTPLimits = HTTPLimits(), isStopped: () -> Bool = { false }
    ) -> HTTPError? {
        do {
            _ = try send(path, limits: limits, isStopped: isStopped)
            return nil
        } catch { return error as? HTTPError }
    }

    @Test func aConnectionIsKept() throws {
        guard let server, connection != nil else { return }
        for _ in 0..<5 {
            let answer = try #require(try send("kept"))
            #expect(answer.response.status == 200)
            #expect(answer.body.contains("\"index\": 0"))
        }
        #expect(server.counts("kept")["connections"] == 1)
        #expect(server.counts("kept")["requests"] == 5)
        #expect(server.counts("kept").mentions("Bearer secret"))
    }

    /// A server that closes between two requests is asked again by a new connection.
    @Test func aClosedConnectionIsReplaced() throws {
        guard let server, connection != nil else { return }
        for _ in 0..<5 { #expect(try send("closing/closing")?.response.status == 200) }
        #expect(server.counts("closing")["requests"] == 5)
    }

    @Test func longBodiesInBothDirections() throws {
        guard server != nil, connection != nil else { return }
        let answer = try #require(try send("long", texts: 20_000, limits: HTTPLimits(answer: 80 << 20)))
        #expect(answer.body.count > 10_000_000)
    }

    @Test func waitsThatServersAskFor() throws {
        guard server != nil, connection != nil else { return }
        let number = try #require(try send("seconds/429r7"))
        #expect(number.response.status == 429 && number.response.retryAfter == 7)
        let date = try #require(try send("date/503d"))
        #expect((1.0...2.0).contains(date.response.retryAfter ?? 0), "\(date)")
        #expect(try send("none/500")?.response.retryAfter == nil)
    }

    @Test func redirectsAreNotFollowed() throws {
        guard server != nil, connection != nil else { return }
        let answer = try #require(try send("away/redirect"))
        #expect(answer.response.status == 302)
        #expect(answer.response.redirect == "http://127.0.0.1:9/elsewhere")
    }

    @Test func endsTooEarly() {
        guard server != nil, connection != nil else { return }
        #expect(error("cut/cut")?.code == .connection)
        #expect(error("close/close")?.code == .connection)
        #expect(error("cut/cut")?.isTransient == true)
    }

    @Test func limits() throws {
        guard server != nil, connection != nil else { return }
        let slow = try #require(error("slow/slow1000", limits: HTTPLimits(total: 0.2)))
        #expect(slow.code == .time && slow.isTransient)
        let huge = try #require(error("huge/huge", limits: HTTPLimits(answer: 5000)))
        #expect(huge.code == .size && !huge.isTransient)
        #expect(huge.description == "the answer has more than 5000 bytes")
        // The connection is of use after that.
        #expect(try send("after")?.response.status == 200)
    }

    @Test func aStopEndsARequest() throws {
        guard server != nil, connection != nil else { return }
        let before = now()
        let found = try #require(error("stop/hang", isStopped: { now() > before + 0.3 }))
        #expect(found.code == .stopped)
        #expect(now() - before < 3)
    }

    @Test func serversThatAreNotThere() throws {
        guard let connection else { return }
        var body: [UInt8] = []
        func code(_ url: String) -> HTTPError.Code? {
            do throws(HTTPError) {
                _ = try connection.send(HTTPRequest(.get, url), into: &body)
                return nil
            } catch { return error.code }
        }
        #expect(code("http://127.0.0.1:1/") == .connection)
        #expect(code("https://127.0.0.1:1/") == .connection)
        for wrong in ["ftp://host/", "host:80", "http://", "http://user:word@host/", "http://a b/", "http://a\n"] {
            #expect(code(wrong) == .address, "\(wrong)")
        }
    }

    @Test func headersHaveOneLine() throws {
        guard let connection else { return }
        var body: [UInt8] = []
        let request = HTTPRequest(.get, "http://127.0.0.1:1/", headers: [("Authorization", "Bearer a\r\nHost: b")])
        let error = try #require(throws: HTTPError.self) { try connection.send(request, into: &body) }
        #expect(error.code == .address && !error.description.contains("Bearer"))
    }

    /// Hundreds of threads with small stacks, a connection each.
    @Test func hundredsAtATime() throws {
        guard let server, connection != nil else { return }
        let failed = Atomic<Int>(0)
        let url = server.url("crowd", "slow300") + "/v1/embeddings"
        let work: @Sendable () -> Void = {
            var body: [UInt8] = []
            do throws(HTTPError) {
                let connection = try HTTPConnection()
                let request = HTTPRequest(.post, url, body: Array(#"{"input":["a"]}"#.utf8))
                if try connection.send(request, into: &body).status != 200 { failed.add(1, ordering: .relaxed) }
            } catch { failed.add(1, ordering: .relaxed) }
        }
        onThreads(200, stackBytes: 128 << 10, work)
        #expect(failed.load(ordering: .relaxed) == 0)
        #expect(server.counts("crowd")["most_in_flight"] > 50)
    }
}

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

private final class Call {
    let work: @Sendable () -> Void
    init(_ work: @escaping @Sendable () -> Void) { self.work = work }
}

/// Runs this on several threads at a time and waits for all.
private func onThreads(_ count: Int, stackBytes: Int, _ work: @escaping @Sendable () -> Void) {
    var threads: [pthread_t] = []
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, stackBytes)
    for _ in 0..<count {
        var thread = pthread_t()
        let call = Unmanaged.passRetained(Call(work)).toOpaque()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Call>.fromOpaque(argument).takeRetainedValue().work()
                return nil
            }, call)
        if status == 0 { threads.append(thread) }
    }
    for thread in threads { pthread_join(thread, nil) }
}
