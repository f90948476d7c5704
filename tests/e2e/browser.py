"""A headless Chromium, driven over its DevTools protocol.

One browser a test session, one fresh tab a test. Every wait is a promise inside the page that the page's own changes
resolve, with a deadline; nothing here sleeps. What the page asked the network for, and what it complained about, is
kept, so that a test can say "nothing left this machine" and "the policy was not violated".
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

DEADLINE_S = 20.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    return next((path for path in map(shutil.which, _NAMES) if path), None)


@contextmanager
def chromium(profile: Path) -> Iterator[str]:
    """A running browser; its DevTools address."""
    executable = find_chromium()
    assert executable, "no chromium on this machine"
    with subprocess.Popen(
        [executable, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as browser:
        assert browser.stderr is not None
        try:
            for line in browser.stderr:
                if found := re.search(r"DevTools listening on (ws://\S+)", line):
                    yield found[1]
                    break
            else:
                raise AssertionError("chromium ended before it listened")
        finally:
            browser.terminate()
            browser.stderr.close()


class Tab:
    """One page: commands go in, results come out, and what happened between is collected."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._commands = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        context = self._send("Target.createBrowserContext")["browserContextId"]
        target = self._send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._commands += 1
        message: dict[str, Any] = {"id": self._commands, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._devtools.send(json.dumps(message))
        answer = self._receive(lambda m: m.get("id") == self._commands)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _receive(self, wanted: Any) -> dict[str, Any]:
        while True:
            message = json.loads(self._devtools.recv(timeout=DEADLINE_S))
            self._note(message)
            if wanted(message):
                return message

    def _note(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))

    def look(self, *, width: int = 1280, dark: bool = False, script: bool = True, zone: str = "UTC") -> None:
        """The viewer's circumstances; call it before :meth:`open`."""
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._send("Emulation.setTimezoneOverride", timezoneId=zone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])
        self._send("Emulation.setScriptExecutionDisabled", value=not script)

    def before_load(self, script: str) -> None:
        """Run a script in every new document, ahead of the page's own."""
        self._send("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url: str) -> None:
        self._send("Page.navigate", url=url)
        self.reloaded()

    def reloaded(self) -> None:
        """Until the next document has loaded."""
        self._receive(lambda m: m.get("method") == "Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = self._send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until a JavaScript condition holds, looked at again after every change of the page."""
        held = self.run(
            f"""new Promise((resolve) => {{
              const met = () => ({condition}) && (watch.disconnect(), resolve(true));
              const watch = new MutationObserver(met);
              watch.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
              setTimeout(() => resolve(false), {DEADLINE_S * 500});
              met();
            }})"""
        )
        assert held, f"never came true: {condition}\nthe page says:\n{self.text('body')}"

    def text(self, selector: str) -> str:
        text: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return text

    def screenshot(self, path: Path, *, full: bool = True) -> None:
        answer = self._send("Page.captureScreenshot", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def tab(devtools_url: str) -> Iterator[Tab]:
    """A tab with a profile of its own: nothing is remembered from earlier ones."""
    with connect(devtools_url, max_size=None) as devtools:
        yield Tab(devtools)
