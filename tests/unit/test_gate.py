import asyncio
from typing import Any

import pytest

from stonk_pipeline.errors import StartError
from tasks import gate, server

PORT = 4200
OWN = ("host", "127.0.0.1:4200")
KINDS = ("http", "websocket")


def answer(
    kind: str, *headers: tuple[str, str], method: str = "POST", path: str = "/api/flows/", allowed: tuple[str, ...] = ()
) -> str:
    """`passed`, or what is sent back in its place."""
    passed: list[str] = []
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "path": path,
        "server": ("127.0.0.1", PORT),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    asyncio.run(gate.Gate(app, PORT, allowed)(scope, receive, send))
    assert bool(passed) != bool(sent)
    return "passed" if passed else str(sent[0].get("status", sent[0]["type"]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "headers",
    [
        (OWN,),
        (("host", "localhost:4200"),),
        (("host", "LocalHost.:4200"),),
        (("host", "[::1]:4200"),),
        (OWN, ("origin", "http://127.0.0.1:4200")),
        (OWN, ("origin", "http://localhost:4200"), ("sec-fetch-site", "same-origin")),
        (OWN, ("sec-fetch-site", "none")),
        (OWN, ("content-type", "application/json")),
    ],
)
def test_gate_passes_own_pages_and_programs(kind: str, headers: tuple[tuple[str, str], ...]) -> None:
    assert answer(kind, *headers) == "passed"


@pytest.mark.parametrize(("kind", "refused"), [("http", "403"), ("websocket", "websocket.close")])
@pytest.mark.parametrize(
    "headers",
    [
        (OWN, ("origin", "http://evil.example")),
        (OWN, ("origin", "null")),
        (OWN, ("origin", "")),
        (OWN, ("origin", "file://")),
        (OWN, ("origin", "http://127.0.0.1")),  # another server of this machine
        (OWN, ("origin", "http://127.0.0.1:8888")),
        (OWN, ("origin", "https://127.0.0.1")),
        (OWN, ("origin", "http://127.0.0.1:4200@evil.example")),
        (OWN, ("origin", "http://127.0.0.1.evil.example:4200")),
        (OWN, ("origin", "http://127.0.0.1:4200"), ("origin", "http://evil.example")),
        (OWN, ("origin", "http://127.0.0.1:4200, http://evil.example")),
        (("host", "evil.example:4200"), ("origin", "http://evil.example:4200")),
        (("host", "evil.example:4200"),),
        (("host", "127.0.0.1"),),
        (("host", "127.0.0.1:4201"),),
        (("host", "127.0.0.1:no"),),
        (("host", ""),),
        (),
        (OWN, ("host", "evil.example:4200")),
        (OWN, ("sec-fetch-site", "cross-site")),
        (OWN, ("sec-fetch-site", "same-site")),
        (OWN, ("sec-fetch-site", "cross-site"), ("content-type", "text/plain")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_gate_refuses_foreign_pages_and_names(
    kind: str, refused: str, headers: tuple[tuple[str, str], ...], method: str
) -> None:
    assert answer(kind, *headers, method=method) == refused


def test_gate_lets_a_link_from_elsewhere_open_a_page_but_nothing_else() -> None:
    link = (OWN, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
    assert answer("http", *link, method="GET", path="/deployments") == "passed"
    assert answer("http", *link, method="GET", path="/api/flows/1") == "403"
    assert answer("http", *link, method="POST", path="/deployments") == "403"
    framed = (*link[:3], ("sec-fetch-dest", "iframe"))
    assert answer("http", *framed, method="GET", path="/deployments") == "403"


@pytest.mark.parametrize(
    ("allowed", "host", "origin", "expected"),
    [
        ("stonk.example.org", "stonk.example.org", "https://stonk.example.org", "passed"),
        ("Stonk.example.org", "stonk.example.org:4200", "http://stonk.example.org:4200", "passed"),
        ("stonk.example.org", "stonk.example.org:8443", "https://stonk.example.org:8443", "403"),
        ("stonk.example.org:8443", "stonk.example.org:8443", "https://stonk.example.org:8443", "passed"),
        ("stonk.example.org", "stonk.example.org", "https://evil.example", "403"),
    ],
)
def test_gate_knows_allowed_names(allowed: str, host: str, origin: str, expected: str) -> None:
    assert answer("http", ("host", host), ("origin", origin), allowed=(allowed,)) == expected


def test_settings_name_own_origins_alone() -> None:
    names = gate.settings("127.0.0.1", PORT, ["stonk.example.org"])
    origins = names["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert "http://127.0.0.1:4200" in origins and "https://stonk.example.org" in origins and "*" not in origins
    assert names["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "", "stonk.example.org"])
def test_running_refuses_other_machines_without_a_password(host: str) -> None:
    with pytest.raises(StartError, match="PREFECT_SERVER_API_AUTH_STRING"):
        server.running(host, PORT, ui=False).__enter__()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_require_password_leaves_the_loopback_interface_alone(host: str) -> None:
    server.require_password(host)
