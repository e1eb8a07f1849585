"""Starts a Prefect server on the loopback interface that ends with the process which started it.

python -m tasks.server HOST PORT [--without-ui] [--allowed-host NAME] [--results DIR]

Foreign web pages are refused (`tasks.gate`), and other machines unless they know a password.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import httpx

from stonk_pipeline.errors import StartError
from stonk_pipeline.runs import child, interrupt
from tasks import access, contact, environment, gate, results
from tasks.access import LOOPBACK

START_SECONDS = 180
"""The first start on a busy machine also makes the database."""
SHORT_LIFE_SECONDS = 10
"""A server that dies sooner than this after its start would do so again."""
LAST_LINES = 3
"""Of what a server said that did not start."""
own: set[str] = set()
"""Addresses of servers that end with this process."""


def free_port(host: str = LOOPBACK) -> int:
    """Finds a port that nobody listens on."""
    with socket.socket() as found:
        found.bind((host, 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(
    host: str,
    port: int,
    *,
    ui: bool,
    log: Path | None = None,
    allowed: Sequence[str] = (),
    shown: Path | None = None,
) -> Iterator[str]:
    """Runs a server while the block does; gives the address of its API.

    Args:
        host: interface to listen on.
        port: to listen on.
        ui: whether it has pages for a browser.
        log: what it prints.
        allowed: names besides its own by which it may be called.
        shown: folder of results that it shows to browsers.

    Raises:
        StartError: the port is taken, other machines could use the server without a password, a name is none, or it
            did not answer in time.
    """
    access.require_password(host)
    access.require_names(allowed)
    _require_free(host, port)
    command = [sys.executable, "-m", "tasks.server", host, str(port), *([] if ui else ["--without-ui"])]
    command += [f"--allowed-host={name}" for name in allowed] + ([f"--results={shown}"] if shown else [])
    with contextlib.ExitStack() as stack:
        environment.ask_directly(access.local_name(host).strip("[]"))
        output: IO[bytes] = stack.enter_context(log.open("a+b")) if log else stack.enter_context(TemporaryFile())
        begin = output.seek(0, os.SEEK_END)

        def start() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                command,
                env=os.environ | {child.PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the runs first: they tell the server how they ended
            )

        server = start()
        ended = threading.Event()
        keeper = threading.Thread(target=_keep, args=(server, start, ended), daemon=True)
        stack.callback(keeper.join)
        stack.callback(ended.set)
        keeper.start()
        url = f"http://{access.local_name(host)}:{port}/api"
        if not _answers(server, url):
            output.seek(begin)
            raise StartError(_obituary(url, output.read().decode(errors="replace"), log))
        own.add(url)
        stack.callback(own.discard, url)
        yield url


@contextlib.contextmanager
def for_this_run(say: Callable[[str], object]) -> Iterator[None]:
    """Runs a flow of this process with the server that the settings name or, where they name none, one of its own.

    Without a server Prefect 3.7 would start one by itself, which every web page could use.

    Raises:
        StartError: the server that is named does not answer, or one of its own does not start.
    """
    from prefect.settings import PREFECT_API_URL

    contact.listen()
    with contextlib.ExitStack() as stack:
        if PREFECT_API_URL.value():
            contact.require_answer()
        else:
            say("starting a Prefect server for this run (set PREFECT_API_URL to use your own)")
            stack.enter_context(access.used(stack.enter_context(running(LOOPBACK, free_port(), ui=False))))
        stack.callback(contact.take_leave)  # however the run ends, and before its own server does
        yield


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OSError as error:
            raise StartError(
                f"{host}:{port} cannot be used for a server ({error.strerror}); choose another --port, or use the "
                f"server that runs there: PREFECT_API_URL=http://{host}:{port}/api"
            ) from error


def _answers(server: "subprocess.Popen[bytes]", url: str) -> bool:
    """Whether a server that was started answers before it ends, and in time."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        if is_healthy(url, own=True):
            return True
        time.sleep(0.2)
    return False


def _obituary(url: str, said: str, log: Path | None) -> str:
    """Why a server did not start: its last words, and where its database lies, which is the usual cause."""
    from prefect.settings import PREFECT_HOME

    last = [line for line in said.splitlines() if line.strip() and not line[0].isspace()][-LAST_LINES:]  # no code
    words = "; its last words:\n" + "\n".join(last) if last else ""
    return (
        f"the Prefect server at {url} did not start{words}\nIts database is in {PREFECT_HOME.value()} (PREFECT_HOME "
        f"names another folder){f'; its log: {log}' if log else ''}"
    )


def is_healthy(url: str, *, own: bool = False) -> bool:
    """Tells whether a server answers at its API's address; one of this process's own is asked through no proxy."""
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=not own).status_code == 200
    except httpx.HTTPError:
        return False


def _keep(
    server: "subprocess.Popen[bytes]", start: Callable[[], "subprocess.Popen[bytes]"], ended: threading.Event
) -> None:
    """Starts the server again if it dies after it has once lived for a while; ends it in the end."""
    while True:
        begun = time.monotonic()
        while server.poll() is None:
            if ended.wait(0.5):
                _end(server)
                return
        if ended.is_set() or time.monotonic() - begun < SHORT_LIFE_SECONDS:
            return
        server = start()


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main() -> int:
    """Runs the server in this process."""
    child.die_with_parent()
    os.environ.pop(child.PARENT, None)
    parser = argparse.ArgumentParser(prog="python -m tasks.server")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--without-ui", action="store_true")
    parser.add_argument("--allowed-host", action="append", default=[])
    parser.add_argument("--results", type=Path, help="show a folder of results below /results/")
    args = parser.parse_args()
    # Before Prefect is imported, which reads it then.
    _set(args.host, args.port, args.allowed_host, ui=not args.without_ui)
    try:
        access.require_password(args.host)
        access.require_names(args.allowed_host)
    except StartError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_HOME

    PREFECT_HOME.value().mkdir(parents=True, exist_ok=True)  # SQLite makes the database, but no directory for it
    app: gate.App = create_app(ephemeral=args.without_ui, final=True)
    if args.results is not None:
        app = results.Results(app, args.results, access.password())
    interrupt.raise_again()
    uvicorn.run(
        gate.Gate(app, args.host, args.port, args.allowed_host),
        host=args.host,
        port=args.port,
        log_level="error",
        timeout_keep_alive=5,
    )
    return 0


def _set(host: str, port: int, allowed: Sequence[str], *, ui: bool) -> None:
    """Prefect's settings of the server, as environment variables."""
    os.environ["PREFECT_UI_ENABLED"] = "1" if ui else "0"
    os.environ["PREFECT_SERVER_API_HOST"] = host
    os.environ["PREFECT_SERVER_API_PORT"] = str(port)
    os.environ.pop("PREFECT_API_URL", None)
    # The UI asks the server under the name that it was opened with. By default it asks http://HOST:PORT, which is
    # another origin to a page at localhost, and nothing to another machine's browser if HOST is 0.0.0.0.
    if "PREFECT_SERVER_UI_API_URL" not in os.environ:
        os.environ.setdefault("PREFECT_UI_API_URL", "/api")
    os.environ |= gate.settings(host, port, allowed)


if __name__ == "__main__":
    raise SystemExit(main())
