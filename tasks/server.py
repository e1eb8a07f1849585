"""A Prefect server of this project's own: on the loopback interface, and gone with the process that started it.

python -m tasks.server HOST PORT [--without-ui] [--allowed-host NAME]

Foreign web pages are refused (`tasks.gate`), and other machines unless they know a password.
"""

import argparse
import contextlib
import ipaddress
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx

from stonk_pipeline import process
from stonk_pipeline.errors import StartError
from tasks import contact, gate

LOOPBACK = "127.0.0.1"
PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"
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
def running(host: str, port: int, *, ui: bool, log: Path | None = None, allowed: Sequence[str] = ()) -> Iterator[str]:
    """Runs a server while the block does; gives the address of its API.

    Args:
        host: interface to listen on.
        port: to listen on.
        ui: whether it has pages for a browser.
        log: what it prints.
        allowed: names besides its own by which it may be called.

    Raises:
        StartError: the port is taken, other machines could use the server without a password, or it did not answer in
            time.
    """
    require_password(host)
    _require_free(host, port)
    command = [sys.executable, "-m", "tasks.server", host, str(port), *([] if ui else ["--without-ui"])]
    command += [f"--allowed-host={name}" for name in allowed]
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
        url = f"http://{_local_name(host)}:{port}/api"
        _wait(server, url, log)
        own.add(url)
        stack.callback(own.discard, url)
        yield url


def _local_name(host: str) -> str:
    """By which this machine calls a server that listens at a host."""
    if host in ("", "0.0.0.0"):
        return LOOPBACK
    return f"[{'::1' if host == '::' else host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def password() -> str | None:
    """What a client has to show to a server of this process (`user:password`); None if nothing."""
    from prefect.settings import get_current_settings

    secret = get_current_settings().server.api.auth_string
    return secret.get_secret_value() if secret else None


def require_password(host: str) -> None:
    """Refuses to open a server to other machines without a password.

    Raises:
        StartError: there is none.
    """
    if password() is None and not is_loopback(host):
        raise StartError(
            f"--host {host}: other machines could start runs, and so read and write files as you; set a password "
            f'first: export {PASSWORD}="admin:a-long-password" (who uses the server sets PREFECT_API_AUTH_STRING to it)'
        )


@contextlib.contextmanager
def used(url: str) -> Iterator[None]:
    """Makes this process and its children clients of a server that it has started."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    names = {"PREFECT_API_URL": url} | ({"PREFECT_API_AUTH_STRING": secret} if (secret := password()) else {})
    before = {name: os.environ.get(name) for name in names}
    os.environ |= names
    settings = {PREFECT_API_URL: url} | ({PREFECT_API_AUTH_STRING: secret} if secret else {})
    try:
        with temporary_settings(settings):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
            stack.enter_context(used(stack.enter_context(running(LOOPBACK, free_port(), ui=False))))
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
    parser.add_argument("--allowed-host", action="append", default=[])
    args = parser.parse_args()
    os.environ["PREFECT_UI_ENABLED"] = "0" if args.without_ui else "1"
    os.environ["PREFECT_SERVER_API_HOST"] = args.host
    os.environ["PREFECT_SERVER_API_PORT"] = str(args.port)
    os.environ.pop("PREFECT_API_URL", None)
    os.environ |= gate.settings(args.host, args.port, args.allowed_host)
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_HOME

    PREFECT_HOME.value().mkdir(parents=True, exist_ok=True)  # SQLite makes the database, but no directory for it

    uvicorn.run(
        gate.Gate(create_app(ephemeral=args.without_ui, final=True), args.port, args.allowed_host),
        host=args.host,
        port=args.port,
        log_level="error",
        timeout_keep_alive=5,
    )


if __name__ == "__main__":
    main()
