"""A terminal as a person has one, for tests: a command runs in it, keys are pressed, and its screen is read."""

import codecs
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

ROWS = 24
CTRL_C = "\x03"


class Screen:
    """What a terminal shows of the characters that it gets, with all that has scrolled out at its top."""

    def __init__(self, columns: int) -> None:
        self.screen = pyte.HistoryScreen(columns, ROWS, history=10_000)
        self.stream = pyte.Stream(self.screen)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> None:
        self.stream.feed(self.decoder.decode(data))

    @property
    def text(self) -> str:
        """All characters, so that what the terminal has broken at its edge is in one piece."""
        width = self.screen.columns
        passed = ["".join(line[column].data for column in range(width)) for line in list(self.screen.history.top)]
        return "".join([*passed, *self.screen.display])

    @property
    def lines(self) -> list[str]:
        """All lines, without the spaces at their ends and the empty ones at the end."""
        text, width = self.text.rstrip(), self.screen.columns
        return [text[start : start + width].rstrip() for start in range(0, len(text), width)]


class Terminal:
    """A pseudo-terminal with a process in it, or this process's own writing."""

    def __init__(self, columns: int) -> None:
        self.screen = Screen(columns)
        self.recorded = b""
        self.last = time.monotonic()
        """When something was written last."""
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self.process: subprocess.Popen[bytes] | None = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def run(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        """Starts a command with this as its terminal: for its output, its errors, and its Ctrl-C."""
        sized_elsewhere = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
        kept = {name: value for name, value in environment.items() if name not in sized_elsewhere}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=kept | {"TERM": "xterm-256color"},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def until(self, seen: Callable[[str], bool], seconds: float) -> str:
        """Waits until the text on the screen is as it should be."""
        end = time.monotonic() + seconds
        while True:
            text = "\n".join(self.screen.lines)
            if seen(text):
                return text
            ended = self.process is not None and self.process.poll() is not None
            assert not ended, f"ended, and the screen says:\n{text}"
            assert time.monotonic() < end, f"after {seconds:.0f} s the screen says:\n{text}"
            time.sleep(0.1)

    def wait(self, seconds: float) -> int:
        """Waits for the command's end and all that it wrote; gives its exit code."""
        assert self.process is not None
        code = self.process.wait(seconds)
        self.ended = time.monotonic()
        self.close()
        return code

    def close(self) -> None:
        os.close(self.slave)
        self.reader.join(10)
        os.close(self.master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # nobody has it open for writing any longer
                return
            if not data:
                return
            self.last = time.monotonic()
            self.recorded += data
            self.screen.feed(data)
