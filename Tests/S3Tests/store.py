"""An S3-compatible store on this machine: moto's server, behind a proxy that checks signatures, counts, and makes faults."""

import http.client
import http.server
import logging
import random
import threading
import urllib.parse

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)

KEY, SECRET, REGION = "AKIDSTORE", "s3cr3t/of+the=store", "eu-test-1"


class Store:
    """The server and its proxy. `endpoint` is the proxy's address, `direct` the server's, which checks nothing."""

    def __init__(self):
        self.server = ThreadedMotoServer(port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.address = ("127.0.0.1", port)
        self.direct = f"http://127.0.0.1:{port}"
        self.backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self.proxy = Proxy(("127.0.0.1", 0), Handler)
        self.proxy.store = self
        self.endpoint = f"http://127.0.0.1:{self.proxy.server_address[1]}"
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        self.lock = threading.Lock()
        self.calm()

    def calm(self):
        """Forgets requests and faults."""
        self.requests = []  # (method, path, range, status)
        self.sent = 0
        self.fault = None  # called with the number of the request and its method; the name of a fault, or None
        self.before = None  # called with the number of the request

    def stop(self):
        self.proxy.shutdown()
        self.server.stop()

    def bucket(self, name, objects=()):
        if name not in self.backend.buckets:
            self.backend.create_bucket(name, REGION)
        for key, content in dict(objects).items():
            self.backend.put_object(name, key, content)


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        """Connections that the program or a fault has closed."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        store = self.server.store
        with store.lock:
            number = len(store.requests)
            request = [self.command, self.path, self.headers.get("Range"), 0]
            store.requests.append(request)
        if store.before:
            store.before(number)
        fault = store.fault(number, self.command) if store.fault else None
        if fault == "drop":
            self.close_connection = True
            return self.connection.close()
        if fault == "closed":
            # Longer than anybody waits.
            return self.refuse(request, 503, "SlowDown", {"Retry-After": "3600"})
        if fault in ("500", "503", "429"):
            return self.refuse(request, int(fault), "SlowDown" if fault == "503" else "Other")
        if self.path.startswith("/elsewhere/"):
            return self.refuse(request, 301, "PermanentRedirect", {"x-amz-bucket-region": "eu-other-2"})
        if code := self.wrong():
            return self.refuse(request, 403, code)
        connection = http.client.HTTPConnection(*store.address)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        # moto lets nobody in without a name, but does not check it.
        headers.setdefault("Authorization", f"AWS4-HMAC-SHA256 Credential={KEY}/20200101/{REGION}/s3/aws4_request")
        connection.request(self.command, self.path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        request[3] = reply.status
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        length = reply.getheader("Content-Length") if self.command == "HEAD" else len(body)
        if fault == "short":
            # A whole answer, of fewer bytes than were asked for.
            body = body[: len(body) // 2]
            length = len(body)
        self.send_header("Content-Length", length or 0)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return self.connection.shutdown(2)
        store.sent += len(body)
        self.wfile.write(body)

    def refuse(self, request, status, code, headers={}):
        request[3] = status
        body = f"<Error><Code>{code}</Code><Message>of the proxy</Message></Error>".encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def wrong(self):
        """The code of the error if the signature is wrong, as botocore computes it."""
        words = self.headers.get("Authorization")
        if words is None:
            return None if self.path.startswith("/public") else "AccessDenied"
        fields = dict(part.strip().split("=", 1) for part in words.split(" ", 1)[1].split(","))
        name, day, region, service, _ = fields["Credential"].split("/")
        if name != KEY:
            return "InvalidAccessKeyId"
        # A store signs what it has understood: names are decoded, and encoded again.
        path, _, query = self.path.partition("?")
        canonical = urllib.parse.quote(urllib.parse.unquote_to_bytes(path), safe="/~")
        entries = [part.partition("=") for part in query.split("&") if part]
        encoded = ["=".join(urllib.parse.quote(urllib.parse.unquote_to_bytes(x), safe="~") for x in (n, v)) for n, _, v in entries]
        url = f"http://{self.headers['Host']}{canonical}" + ("?" + "&".join(encoded) if encoded else "")
        signed = {n: self.headers[n] for n in fields["SignedHeaders"].split(";")}
        request = AWSRequest(method=self.command, url=url, headers=signed)
        request.context["timestamp"] = signed["x-amz-date"]
        signer = S3SigV4Auth(Credentials(KEY, SECRET), service, region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return None if signer.signature(text, request) == fields["Signature"] else "SignatureDoesNotMatch"


def some(share, kinds, seed=1):
    """A fault for a share of all requests, never for the same one again at once."""
    draws = random.Random(seed)
    lock = threading.Lock()

    def choose(number, method):
        with lock:
            return draws.choice(kinds) if draws.random() < share else None

    return choose
