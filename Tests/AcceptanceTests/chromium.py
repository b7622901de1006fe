"""Headless Chromium over the DevTools protocol's pipe: pages, what they asked for, and pictures of them."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
# --no-sandbox: as root, and in most containers, Chromium does not start with its own.
FLAGS = [
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
    "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]


class Chromium:
    """One browser with a profile of its own. Messages are JSON texts, each with a NUL behind it."""

    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(
            prefix="millrace-chromium-", ignore_cleanup_errors=True)
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        # Out of the way of 3 and 4, where Chromium looks for them.
        given = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{given[0]} 4>&{given[1]}', "bash", BINARY, *FLAGS,
             f"--user-data-dir={self._profile.name}", "about:blank"],
            pass_fds=given, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for end in (theirs_in, theirs_out, *given):
            os.close(end)
        self._pending, self._number, self.pages = b"", 0, {}

    def page(self, url=None):
        """A new page, in a profile that shares nothing with the other pages'."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, session["sessionId"], context)
        self.pages[page.session] = page
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        if url:
            page.open(url)
        return page

    def call(self, method, session=None, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self):
        while b"\0" not in self._pending:
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise RuntimeError(f"Chromium ended with {self._process.wait()}")
            self._pending += piece
        text, _, self._pending = self._pending.partition(b"\0")
        message = json.loads(text)
        page = self.pages.get(message.get("sessionId"))
        if page is not None and "method" in message:
            page.heard(message["method"], message["params"])
        return message

    def close(self):
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()


class Page:
    """A page, with every request that it made and every complaint of its console."""

    def __init__(self, browser, session, context):
        self.browser, self.session, self._context = browser, session, context
        self.requests, self.answers, self.complaints, self._loads = [], [], [], 0

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def heard(self, method, said):
        if method == "Network.requestWillBeSentExtraInfo":
            self.requests.append({name.lower(): value for name, value in said["headers"].items()})
        elif method == "Network.responseReceived":
            self.answers.append((said["response"]["url"], said["response"]["status"]))
        elif method == "Page.loadEventFired":
            self._loads += 1
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(said["exceptionDetails"]["text"])
        elif method == "Log.entryAdded":
            self.complaints.append(said["entry"]["text"])

    def open(self, url):
        loads = self._loads
        failure = self.call("Page.navigate", url=url).get("errorText")
        assert not failure, f"{url}: {failure}"
        deadline = time.monotonic() + 30
        while self._loads == loads:
            assert time.monotonic() < deadline, f"{url} did not load"
            self.browser.call("Browser.getVersion")  # takes in what was said meanwhile
            time.sleep(0.01)

    def evaluate(self, script):
        """The value of an expression, awaited if it is a promise."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, script, seconds=30):
        """The expression's value, once it is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < deadline, f"not within {seconds} s: {script}"
            time.sleep(0.03)
        return value

    def look(self, width, height, scheme="light", is_phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if is_phone else 1, mobile=is_phone)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        self.browser.call("Target.disposeBrowserContext", browserContextId=self._context)
        self.browser.pages.pop(self.session, None)
