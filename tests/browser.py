"""Chromium without a window, driven through its own debugging protocol: no driver and no library to install."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1400,1000",
)


def chromium() -> str | None:
    """The browser's command, or None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection, port: int) -> None:
        """`port`: of the browser's debugging protocol."""
        self.socket, self.port, self.count = socket, port, 0

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the debugging protocol, and its answer."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == self.count:  # the others are events
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> None:
        """Waits until an expression is true."""
        until = time.monotonic() + seconds
        while not self.ask(script):
            assert time.monotonic() < until, f"{script}: not true; the page says {self.ask('document.body.innerText')}"
            time.sleep(0.2)

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && document.body.innerText.length > 0")

    def press(self, text: str) -> None:
        """Clicks, as a mouse does, on the last visible button, or entry of a menu, with just this text."""
        find = (
            "[...document.querySelectorAll('button, a, [role=menuitem], .p-button, .p-overflow-menu-item')]"
            f".filter(one => one.innerText.trim() === {json.dumps(text)} && one.offsetParent !== null).at(-1)"
        )
        self.wait(f"Boolean({find})")
        box = self.ask(
            f"((one) => {{ one.scrollIntoView({{block: 'nearest'}});"
            " const {x, y, width, height} = one.getBoundingClientRect();"
            f" return [x + width / 2, y + height / 2] }})({find})"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def choose(self, select: str, value: str) -> None:
        """Chooses an entry of a list of choices, given as an expression."""
        self.ask(
            f"((one) => {{ one.value = {json.dumps(value)}; "
            "one.dispatchEvent(new Event('change', {bubbles: true})) })"
            f"({select})"
        )

    def write(self, field: str, text: str) -> None:
        """Writes at the end of a field of text, given as an expression."""
        self.ask(f"((one) => {{ one.focus(); one.setSelectionRange(1e6, 1e6) }})({field})")
        self.send("Input.insertText", text=text)

    @contextmanager
    def opened(self, text: str) -> "Iterator[Page]":
        """Clicks on a link with just this text, and gives the tab that it opens, which is closed afterwards."""
        before = {tab["id"] for tab in tabs(self.port)}
        self.press(text)
        until = time.monotonic() + 30
        while not (new := [tab for tab in tabs(self.port) if tab["id"] not in before]):
            assert time.monotonic() < until, f"{text}: opened nothing"
            time.sleep(0.1)
        with connect(new[0]["webSocketDebuggerUrl"], max_size=None) as socket:
            made = Page(socket, self.port)
            try:
                yield made
            finally:
                made.send("Page.close")
        self.send("Page.bringToFront")  # a tab that is not seen draws nothing

    def picture(self, path: Path) -> None:
        """A PNG of what is to be seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


def tabs(port: int) -> list[dict[str, Any]]:
    """The tabs of a browser."""
    found = httpx.get(f"http://127.0.0.1:{port}/json/list").json()
    return [tab for tab in found if tab["type"] == "page"]


@contextmanager
def page(command: str, directory: Path, *flags: str) -> Iterator[Page]:
    """A browser with a profile of its own and perhaps more flags, ended with the block."""
    with (directory / "chromium.log").open("wb") as log:
        browser = subprocess.Popen(
            [command, *FLAGS, *flags, f"--user-data-dir={directory / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        port_file = directory / "profile" / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not port_file.is_file() or not port_file.read_text().strip():
            assert time.monotonic() < until, (directory / "chromium.log").read_text()[-2000:]
            time.sleep(0.1)
        port = int(port_file.read_text().splitlines()[0])
        with connect(tabs(port)[0]["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Page(socket, port)
    finally:
        browser.terminate()
        browser.wait(30)
