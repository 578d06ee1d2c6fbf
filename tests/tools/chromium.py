"""A headless Chromium, driven over a pipe: no driver and no further package."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
    "chrome",
)  # fmt: skip
SECONDS = 60


def find_browser():
    """The path of a Chromium; `None` if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One page in one browser.

    Args:
        profile: A folder for what the browser writes.

    Example:

    ```python
    with Chromium(tmp_path) as page:
        page.open("http://127.0.0.1:8000")
        page.evaluate("document.title")
    ```
    """

    def __init__(self, profile):
        self.profile = profile
        self._number = 0
        self.messages = []

    def __enter__(self):
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()

        # The browser reads its third descriptor and writes its fourth. These
        # are out of the way of both.
        ends = [
            fcntl.fcntl(end, fcntl.F_DUPFD, 10)
            for end in (to_browser, from_browser)
        ]
        self._process = subprocess.Popen(
            [
                "bash", "-c", f'exec "$0" "$@" 3<&{ends[0]} 4>&{ends[1]}',
                find_browser(), "--headless=new", "--remote-debugging-pipe",
                "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-dev-shm-usage", "--window-size=900,620",
                f"--user-data-dir={self.profile}", "about:blank",
            ],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (*ends, to_browser, from_browser):
            os.close(end)
        self._buffer = b""
        self._session = None
        (target, *_) = [
            one
            for one in self.call("Target.getTargets")["targetInfos"]
            if one["type"] == "page"
        ]
        self._session = self.call(
            "Target.attachToTarget",
            targetId=target["targetId"],
            flatten=True,
        )["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def call(self, method, **parameters):
        """Sends a command of the DevTools protocol; gives its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.messages.append(answer)

    def _receive(self):
        while b"\0" not in self._buffer:
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise RuntimeError("The browser has ended.")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, address):
        """Goes to a page."""
        self.call("Page.navigate", url=address)

    def evaluate(self, expression):
        """The value of an expression in the page."""
        result = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def wait_for(self, expression):
        """Waits until an expression is true, and gives its value."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.05)
        raise TimeoutError(f"{expression} is still {value!r}")

    def type(self, text):
        """Puts text where the cursor is, as an input method does."""
        self.call("Input.insertText", text=text)

    def requested(self):
        """The addresses that the page has asked for."""
        return [
            message["params"]["request"]["url"]
            for message in self.messages
            if message.get("method") == "Network.requestWillBeSent"
        ]

    def screenshot(self, path):
        """Writes what the page shows, as .png."""
        data = self.call("Page.captureScreenshot")["data"]
        path.write_bytes(base64.b64decode(data))
