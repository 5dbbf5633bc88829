"""A headless chromium that a test talks to through DevTools over a pipe: real clicks, keys, screens and policies.

with Browser(tmp_path) as page:
    page.open(path, width=360)
    page.run("document.title"), page.console
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time

CHROMIUM = shutil.which("chromium")
WAIT = 60.0  # seconds for an answer
CONNECT = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 5) for end in sys.argv[1:3]]
for end, wanted in zip(ends, (3, 4)):
    os.dup2(end, wanted)
os.execv(sys.argv[3], sys.argv[3:])
"""  # becomes the browser, with its two ends of the pipes where --remote-debugging-pipe expects them


class Browser:
    """One page of one browser. `console` has every message and every refusal of the page's policy since it opened."""

    def __init__(self, directory):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
        arguments += [f"--user-data-dir={directory / 'profile'}", "about:blank"]
        ends = (to_browser, from_browser)
        self._process = subprocess.Popen(
            [sys.executable, "-c", CONNECT, *map(str, ends), CHROMIUM, *arguments],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._buffer, self._session, self.console, self._loaded = 0, b"", None, [], False

    def __enter__(self):
        targets = self.send("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):
            self._session = None
            self.send("Browser.close")
        self._process.wait(WAIT)
        os.close(self._out)
        os.close(self._in)

    def open(self, path, width=1280, height=900, dark=False, media="screen"):
        """Load a file and wait until it and its images are there."""
        self.console, self._loaded = [], False
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.send("Page.navigate", url=path.absolute().as_uri())
        while not self._loaded:
            self._receive()

    def run(self, expression):
        """The value of a JavaScript expression as Python's; DevTools may evaluate whatever the page's policy says."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector):
        """A mouse click in the middle of the first element that matches, scrolled into view."""
        box = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{box}.scrollIntoView({{block: 'center', inline: 'center'}})")
        x, y = self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key, code):
        """One key, such as ("Enter", 13), for whatever has the focus."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def picture(self, whole=True):
        """A screenshot as PNG."""
        result = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(result["data"])

    def pdf(self):
        """What a printer gets, on A4."""
        result = self.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)
        return base64.b64decode(result["data"])

    def send(self, method, **parameters):
        """The result of one DevTools command; keeps what the page reports meanwhile."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _receive(self):
        until = time.monotonic() + WAIT
        while b"\0" not in self._buffer:
            assert select.select([self._in], [], [], max(0, until - time.monotonic()))[0], "chromium does not answer"
            part = os.read(self._in, 1 << 20)
            assert part, "chromium is gone"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        answer = json.loads(text)
        method, values = answer.get("method"), answer.get("params", {})
        self._loaded |= method == "Page.loadEventFired"
        if method == "Log.entryAdded":
            self.console.append(values["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.console.append(values["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.console.append(str(values["args"]))
        return answer
