"""Checks pages of `sluice report` in headless Chromium, through its DevTools protocol. Standard library only."""

import base64
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

FIGURES = ["flow", "labels", "map", "certificate", "curve", "distances", "resources", "pairs", "records", "definition"]


class Browser:
    """A headless Chromium with one page."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             "--remote-allow-origins=*", f"--user-data-dir={folder}", "about:blank"],
            stderr=subprocess.PIPE, text=True)
        address = next(line.split()[-1] for line in self.process.stderr if "DevTools listening on" in line)
        host = urllib.parse.urlparse(address)
        with urllib.request.urlopen(f"http://{host.netloc}/json/list") as reply:
            page = next(target for target in json.load(reply) if target["type"] == "page")
        path = urllib.parse.urlparse(page["webSocketDebuggerUrl"]).path
        self.socket = socket.create_connection((host.hostname, host.port), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            (f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        self.number = 0
        self.events = []

    def _take(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError("the browser closed the connection")
            data += part
        return data

    def _receive(self):
        text = b""
        while True:
            first, second = self._take(2)
            length = second & 127
            if length == 126:
                length = struct.unpack(">H", self._take(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self._take(8))[0]
            text += self._take(length)
            if first & 128:
                return json.loads(text)

    def send(self, method, **parameters):
        """Calls a method and returns its result; events that come meanwhile are kept."""
        self.number += 1
        data = json.dumps({"id": self.number, "method": method, "params": parameters}).encode()
        mask = os.urandom(4)
        size = struct.pack(">BBH", 129, 254, len(data)) if len(data) < 65536 else struct.pack(">BBQ", 129, 255, len(data))
        self.socket.sendall(size + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))
        while True:
            message = self._receive()
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def wait(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._receive())

    def value(self, expression):
        return self.send("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def close(self):
        self.process.terminate()
        self.process.wait()


def check(browser, page, faults):
    """Loads a page and appends what is wrong with it to `faults`."""
    browser.events.clear()
    for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"]:
        browser.send(f"{domain}.enable")
    browser.send("Page.navigate", url=page.as_uri())
    browser.wait("Page.loadEventFired")

    def expect(holds, words):
        if not holds:
            faults.append(f"{page.name}: {words}")

    for event in browser.events:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Log.entryAdded":
            expect(False, f"console: {parameters['entry']['text']}")
        if method in ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening"]:
            expect(False, f"{method}: {parameters}")
        if method == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            expect(url == page.as_uri() or url.startswith("data:"), f"it asks for {url}")
    expect(page.stat().st_size < 2_000_000, f"it has {page.stat().st_size} bytes")
    expect((browser.value("document.title") or "").startswith("Report: "), f"its title is {browser.value('document.title')}")
    expect(browser.value("document.querySelectorAll('script,iframe,img,object,form').length") == 0, "it has active elements")
    ids = browser.value("[...document.querySelectorAll('main > section')].map(s => s.id)")
    expect(ids == ["summary"] + FIGURES, f"its sections are {ids}")
    for name in FIGURES:
        expect(browser.value(f"document.querySelector('#{name}').innerText.length > 40"), f"{name} is empty")
        expect(browser.value(f"document.querySelector('nav a[href=\"#{name}\"]') !== null"), f"{name} has no link")
    for name in ["flow", "map", "curve", "distances"]:
        expect(browser.value(f"document.querySelector('#{name} svg').getBoundingClientRect().height > 50"), f"{name} has no picture")

    # Headings go one level deeper at a time; every picture and every region has a name; every table names its columns.
    levels = browser.value("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    expect(levels[0] == 1 and levels.count(1) == 1, f"headings: {levels[:3]}")
    expect(all(b <= a + (2 if a == 2 else 1) for a, b in zip(levels, levels[1:])), f"headings skip a level: {levels}")
    expect(browser.value("[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label'))"), "a picture has no name")
    expect(browser.value("[...document.querySelectorAll('table')].every(t => t.caption && t.querySelector('th[scope=col]'))"),
           "a table has no caption or heads")
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    named = [node for node in tree if node.get("role", {}).get("value") in ["link", "image", "region", "heading"]]
    expect(named and all(node.get("name", {}).get("value") for node in named if not node.get("ignored")),
           "something has no name for a screen reader")

    # The Tab key goes through the page from top to bottom.
    browser.send("Page.bringToFront")
    places = []
    for _ in range(18):
        for kind in ["keyDown", "keyUp"]:
            browser.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        places.append(browser.value("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    expect(len(set(places)) > 10 and places == sorted(places), f"the Tab key jumps: {places}")

    # Nothing is wider than a narrow window, but for tables and pictures, which scroll by themselves.
    browser.send("Emulation.setDeviceMetricsOverride", width=380, height=800, deviceScaleFactor=1, mobile=False)
    width = browser.value("document.documentElement.scrollWidth")
    expect(width <= 380, f"it is {width} pixels wide in a window of 380")


def screenshots(browser, page):
    for name, width, scheme, media in [
        ("light", 1100, "light", ""), ("dark", 1100, "dark", ""), ("narrow", 400, "light", ""), ("print", 800, "dark", "print"),
    ]:
        browser.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.send("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        height = min(6000, browser.value("document.documentElement.scrollHeight"))
        shot = browser.send(
            "Page.captureScreenshot", captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})
        page.with_name(f"{page.stem}-{name}.png").write_bytes(base64.b64decode(shot["data"]))
    browser.send("Emulation.setEmulatedMedia", media="", features=[])
    printed = browser.send("Page.printToPDF")
    page.with_suffix(".pdf").write_bytes(base64.b64decode(printed["data"]))


def main():
    folder = pathlib.Path(sys.argv[1])
    faults = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            pages = sorted(folder.glob("*.html"))
            for page in pages:
                check(browser, page, faults)
                screenshots(browser, page)
        finally:
            browser.close()
    for fault in faults:
        print(fault)
    print(f"{len(pages)} pages checked, {len(faults)} faults; screenshots are in {folder}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
