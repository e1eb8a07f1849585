"""Decides who may use a Prefect server: the names it answers to, and the password for other machines."""

import contextlib
import ipaddress
import os
from collections.abc import Iterator, Sequence

from stonk_pipeline.errors import StartError
from tasks import gate

LOOPBACK = "127.0.0.1"
PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"


def local_name(host: str) -> str:
    """Returns the name by which this machine calls a server that listens at a host."""
    if host in ("", "0.0.0.0"):
        return LOOPBACK
    return f"[{'::1' if host == '::' else host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach what listens at a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def password() -> str | None:
    """Returns what a client has to show to a server of this process (`user:password`); None if nothing."""
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


def require_names(allowed: Sequence[str]) -> None:
    """Refuses server names that no browser could call it by, which would otherwise be ignored silently.

    Raises:
        StartError: one is neither a name nor a name with a port.
    """
    for name in allowed:
        if gate.read_host(name) is None or "*" in name:
            raise StartError(
                f"--allowed-host {name}: not a name; write it as stonk.example.org, stonk.example.org:8443 or [fd00::5]"
            )
