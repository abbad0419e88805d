"""Debian's Chromium without a window, controlled by the DevTools protocol over a pipe (standard library alone)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ANSWER_S = 60.0  # slow machines start a browser slowly
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--remote-debugging-pipe",
)  # fmt: skip
KEYS = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "Escape": 27}


def find_browser() -> str:
    """Return a browser's path; without one the test is skipped, or fails where EDGEQUAKE_REQUIRE_BROWSER is set."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        missing = f"no browser: none of {', '.join(NAMES)} is on the PATH (Debian: apt-get install chromium)"
        if os.environ.get("EDGEQUAKE_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


class Browser:
    """One page in a browser of its own, with its errors and its requests."""

    def __init__(self, path: str, profile: Path) -> None:
        low_commands, self._write = os.pipe()
        self._read, low_events = os.pipe()
        # The browser reads commands from descriptor 3 and writes to 4: a shell puts them there, from higher ones.
        commands, events = (fcntl.fcntl(low, fcntl.F_DUPFD, 20) for low in (low_commands, low_events))
        plumbing = f'exec "$@" 3</dev/fd/{commands} 4>/dev/fd/{events}'
        line = ["sh", "-c", plumbing, "sh", path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            line, pass_fds=(commands, events), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        for descriptor in (low_commands, low_events, commands, events):
            os.close(descriptor)
        self._n_sent = 0
        self._buffer = b""
        self._loaded = False
        self.complaints: list[str] = []
        self.requests: list[str] = []
        targets = self._send("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # the group that this object started
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def open(self, page: Path | str) -> None:
        """Load a file, or an address, and wait until everything in it is loaded."""
        self._loaded = False
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self._listen(lambda: self._loaded)

    def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression gives."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            is_letter = len(key) == 1
            code = ord(key.upper()) if is_letter else KEYS[key]
            described = {"key": key, "code": f"Key{key.upper()}" if is_letter else key, "windowsVirtualKeyCode": code}
            text = {"text": "\r"} if key == "Enter" else {"text": key} if is_letter else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **described, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **described)

    def set_width(self, width: int) -> None:
        """Give the window a width in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def wait_until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true, however often the page is loaded anew meanwhile."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                answer = self.call("Runtime.evaluate", expression=f"Boolean({expression})", returnByValue=True)
                if answer.get("result", {}).get("value") is True:
                    return
                self.call("Runtime.evaluate", expression="new Promise(requestAnimationFrame)", awaitPromise=True)
            except AssertionError as problem:
                if "navigated" not in str(problem):  # the page that was asked has gone, and another one comes
                    raise
            assert time.monotonic() < deadline, f"never true: {expression}"

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        area = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=area)
        path.write_bytes(base64.b64decode(shot["data"]))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to the page and return its answer."""
        return self._send(method, self._session, **parameters)

    def _send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._n_sent += 1
        message: dict[str, Any] = {"id": self._n_sent, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answers: list[dict[str, Any]] = []
        self._listen(lambda: bool(answers), answers)
        assert "error" not in answers[0], f"{method}: {answers[0]['error']}"
        result: dict[str, Any] = answers[0]["result"]
        return result

    def _listen(self, done: Any, answers: list[dict[str, Any]] | None = None) -> None:
        """Take in messages until `done()`."""
        deadline = time.monotonic() + ANSWER_S
        while not done():
            while b"\0" not in self._buffer:
                ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
                data = os.read(self._read, 1 << 20) if ready else b""
                assert data, f"the browser says nothing for {ANSWER_S:g} s, or is gone ({self._process.poll()})"
                self._buffer += data
            raw, _, self._buffer = self._buffer.partition(b"\0")
            self._take(json.loads(raw), answers)

    def _take(self, message: dict[str, Any], answers: list[dict[str, Any]] | None) -> None:
        if "id" in message:
            if answers is not None and message["id"] == self._n_sent:
                answers.append(message)
            return
        method, parameters = message["method"], message["params"]
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))


def outside(requests: Sequence[str]) -> list[str]:
    """Return the requested addresses that are neither in the page nor on this disk."""
    return [url for url in requests if not url.startswith(("data:", "file:", "about:"))]
