"""A Prefect server of this project's own: on the loopback interface, and gone with the process that started it.

python -m tasks.server HOST PORT [--without-ui]
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from stonk_pipeline import process
from stonk_pipeline.errors import StartError

LOOPBACK = "127.0.0.1"
START_SECONDS = 180
"""The first start on a busy machine also makes the database."""
SHORT_LIFE_SECONDS = 10
"""A server that dies sooner than this after its start would do so again."""
own: set[str] = set()
"""Addresses of servers that end with this process."""


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind((host, 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(host: str, port: int, *, ui: bool, log: Path | None = None) -> Iterator[str]:
    """Runs a server while the block does; gives the address of its API.

    Raises:
        StartError: the port is taken, or the server did not answer in time.
    """
    _require_free(host, port)
    command = [sys.executable, "-m", "tasks.server", host, str(port), *([] if ui else ["--without-ui"])]
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL

        def start() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                command,
                env=os.environ | {process.PARENT: str(os.getpid())},
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
        url = f"http://{LOOPBACK if host in ('', '0.0.0.0') else host}:{port}/api"
        _wait(server, url, log)
        own.add(url)
        stack.callback(own.discard, url)
        yield url


def _require_free(host: str, port: int) -> None:
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OSError as error:
            raise StartError(
                f"{host}:{port} cannot be used for a server ({error.strerror}); choose another --port, or use the "
                f"server that runs there: PREFECT_API_URL=http://{host}:{port}/api"
            ) from error


def _wait(server: "subprocess.Popen[bytes]", url: str, log: Path | None) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if is_healthy(url):
            return
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise StartError(f"the Prefect server at {url} did not start{f'; its log: {log}' if log else ''}")


def is_healthy(url: str) -> bool:
    """Whether a server answers at the address of its API."""
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
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


def main() -> None:
    """Runs the server in this process."""
    process.die_with_parent()
    os.environ.pop(process.PARENT, None)
    parser = argparse.ArgumentParser(prog="python -m tasks.server")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--without-ui", action="store_true")
    args = parser.parse_args()
    os.environ["PREFECT_UI_ENABLED"] = "0" if args.without_ui else "1"
    os.environ["PREFECT_SERVER_API_HOST"] = args.host
    os.environ["PREFECT_SERVER_API_PORT"] = str(args.port)
    os.environ.pop("PREFECT_API_URL", None)
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_HOME

    PREFECT_HOME.value().mkdir(parents=True, exist_ok=True)  # SQLite makes the database, but no directory for it

    uvicorn.run(
        create_app(ephemeral=args.without_ui, final=True),
        host=args.host,
        port=args.port,
        log_level="error",
        timeout_keep_alive=5,
    )


if __name__ == "__main__":
    main()
