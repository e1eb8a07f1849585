"""Refuses requests to the Prefect server that come from foreign web pages.

A server on the loopback interface is out of reach of other machines, but not of the web pages that a person on this
machine visits: their scripts can send requests to it, and whoever can send requests to it can run commands. A browser
says where a request comes from, and no page can make it lie:

| header | what it tells | refused |
| --- | --- | --- |
| `Host` | the name by which the server was called | none, several, or a name that is not the server's: a foreign name \
that leads here (DNS rebinding) |
| `Origin` | the page that sends a request, or opens a websocket | any that is not the server's own, `null` too |
| `Sec-Fetch-Site` | how near that page is, where there is no `Origin` (pictures, scripts, links) | all but the \
server's own pages; a link from elsewhere may open a page of the UI |

The command line, workers and runs send neither `Origin` nor `Sec-Fetch-Site`, and pass.

Prefect's own settings do not replace this. CORS tells a browser which answers a page may *read*: the request itself has
been carried out by then, and websockets are not covered. A CSRF token is asked for by HTTP writes alone. Neither looks
at `Host`. They are set all the same (`settings`), so that one mistake here does not open the server again.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
OWN_PAGES = ("same-origin", "none")
"""Values of `Sec-Fetch-Site`: from the server's own pages, or typed in by a person."""
WEB_PORTS = {"http": 80, "https": 443}
KEPT_APART = (
    (b"content-security-policy", b"frame-ancestors 'self'"),  # the UI in a foreign frame could be clicked unseen
    (b"cross-origin-resource-policy", b"same-origin"),  # nor is an answer loaded there as a picture or a script
)
"""Headers of every HTTP answer, for browsers that send no `Sec-Fetch-Site`: old ones, and all where there is no TLS."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, as a browser names them."""

    host: str
    port: int | None


def read_host(text: str) -> Address | None:
    """Reads the address in a `Host` header, in small letters and without a trailing dot; None if it is none."""
    if any(sign in text for sign in "/@?#\\ ,\t"):
        return None
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return Address(host.removesuffix("."), port) if host else None


class Gate:
    """Passes requests of the server's own pages and of programs to an application, and answers 403 to others."""

    def __init__(self, app: App, host: str, port: int, allowed: Sequence[str] = ()) -> None:
        """Wraps an application.

        Args:
            app: the ASGI application.
            host: that the server listens at, which may be a name.
            port: that the server listens on.
            allowed: other names by which it may be called, as `stonk.example.org` (on its own port, 80 or 443) or
                `stonk.example.org:8443`.
        """
        self.app, self.port = app, port
        self.names = {*LOOPBACK_NAMES, host.lower().removesuffix(".")}
        self.allowed = [address for name in allowed if (address := read_host(name))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request, one websocket, or the application's life."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        reason = self.refusal(scope)
        if reason is None:
            await self.app(scope, receive, _kept_apart(send) if scope["type"] == "http" else send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})  # before it is accepted: 403
        else:
            body = json.dumps({"detail": reason}).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": [*headers, *KEPT_APART]})
            await send({"type": "http.response.body", "body": body})

    def refusal(self, scope: Scope) -> str | None:
        """Says why a request is refused; None if it is not."""
        hosts = _values(scope, b"host")
        own = read_host(hosts[0]) if len(hosts) == 1 else None
        if own is None or not self._is_own(own, 80, scope):
            named = ", ".join(hosts)[:100] or "nothing"
            return f"Host {named!r} is not this server's name; start it with --allowed-host NAME to add one"
        pages = _values(scope, b"origin")
        if len(pages) > 1 or not all(self._is_own_origin(origin, scope) for origin in pages):
            return f"requests from {', '.join(pages)[:100]!r} are refused: not a page of this server"
        sites = [] if pages else _values(scope, b"sec-fetch-site")
        if any(site.strip().lower() not in OWN_PAGES for site in sites) and not _opens_a_page(scope):
            return "requests from other sites are refused"
        return None

    def _is_own_origin(self, origin: str, scope: Scope) -> bool:
        scheme, found, host = origin.partition("://")
        address = read_host(host) if found and scheme in WEB_PORTS else None
        return address is not None and self._is_own(address, WEB_PORTS[scheme], scope, tls=scheme == "https")

    def _is_own(self, address: Address, usual: int, scope: Scope, *, tls: bool = False) -> bool:
        port = address.port or usual
        # The address that the connection came in at. A page of another site has a name, which is not it.
        here = (scope.get("server") or ("", None))[0]
        if address.host in self.names or address.host == here:
            return port == self.port and not tls  # TLS is a proxy's, which has a name that is allowed
        return any(
            address.host == other.host and port in ((other.port,) if other.port else (self.port, 80, 443))
            for other in self.allowed
        )


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name]


def _kept_apart(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *KEPT_APART]
        await send(message)

    return sending


def _opens_a_page(scope: Scope) -> bool:
    """Whether a person followed a link to a page of the UI, which shows that page to nobody else."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or scope["path"].startswith("/api"):
        return False
    return _values(scope, b"sec-fetch-mode") == ["navigate"] and _values(scope, b"sec-fetch-dest") == ["document"]


def origins(host: str, port: int, allowed: Iterable[str]) -> list[str]:
    """Lists the addresses of the server's own pages."""
    names = ["127.0.0.1", "localhost", "[::1]", *([] if host in ("", "0.0.0.0", "::") else [_bracketed(host)])]
    own = [f"http://{name}:{port}" for name in dict.fromkeys(names)]
    for name in allowed:
        address = read_host(name)
        if address is not None:
            own += [f"{scheme}://{name}" for scheme in WEB_PORTS]
            own += [] if address.port else [f"http://{name}:{port}"]
    return own


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def settings(host: str, port: int, allowed: Iterable[str]) -> dict[str, str]:
    """Returns Prefect's own settings against foreign pages, as environment variables.

    CORS: by default Prefect 3.7 lets every page read its answers. CSRF: a write has to show a token that was read
    before, which a page that cannot read the answers does not have; Prefect's UI, its command line and its workers
    fetch it by themselves.
    """
    found = {"CORS_ALLOWED_ORIGINS": ",".join(origins(host, port, allowed)), "CSRF_PROTECTION_ENABLED": "true"}
    # Each has two names, and the longer one wins: a "*" that was left there once would undo this.
    starts = ("PREFECT_SERVER_API", "PREFECT_SERVER")
    return {f"{start}_{name}": value for start in starts for name, value in found.items()}
