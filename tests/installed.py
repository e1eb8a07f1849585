"""The package as somebody has it who installed its wheel and never saw the checkout."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]

WATCH = """
import os, sys
LOG = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(LOG, (" ".join(map(str, sys.orig_argv)) + "\\n").encode())

def note(event, arguments):
    path = arguments[0] if event == "open" else None
    if isinstance(path, str) and path.startswith({root!r}) and not path.startswith({libraries!r}):
        os.write(LOG, (OPENED + path + "\\n").encode())

OPENED = {opened!r}
sys.addaudithook(note)
"""
OPENED = "opened in the checkout: "


class Installed:
    """An environment with the wheel in it, which takes the other libraries from the tests' own environment.

    The checkout that is installed there is not on its path. Every process of it notes how it was started, and which
    files of the checkout it opens.
    """

    def __init__(self, home: Path) -> None:
        self.environment, self.log = home / "environment", home / "processes.log"
        self.program = self.environment / "bin" / "stonk-pipeline"
        python = str(self.environment / "bin" / "python")
        (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(home), versions=["standard"])
        install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.environment)], check=True)
        subprocess.run([*install, wheel], check=True)
        libraries = sysconfig.get_path("purelib")
        (own,) = self.environment.glob("lib/python*/site-packages")
        watch = WATCH.format(log=str(self.log), root=f"{ROOT}{os.sep}", libraries=sys.prefix + os.sep, opened=OPENED)
        (own / "watch.py").write_text(watch, encoding="utf-8")
        (own / "libraries.pth").write_text(f"import watch\n{libraries}\n", encoding="utf-8")  # reads no .pth in there

    def run(self, folder: Path, home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs `stonk-pipeline …` in a folder, with a Prefect server and database of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTHONPATH"))}
        own = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        return subprocess.run(
            [str(self.program), *arguments],
            cwd=folder,
            env=kept | own,
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )

    def processes(self) -> list[str]:
        """How each of its processes was started."""
        return [line for line in self._lines() if not line.startswith(OPENED)]

    def opened(self) -> set[str]:
        """The files of the checkout that its processes opened."""
        return {line.removeprefix(OPENED) for line in self._lines() if line.startswith(OPENED)}

    def _lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()
