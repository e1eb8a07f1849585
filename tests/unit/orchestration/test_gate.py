import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import Settings
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from stonk_pipeline.errors import StartError
from tasks import access, gate, server

ROOT = Path(__file__).parents[3]
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
    asyncio.run(gate.Gate(app, "127.0.0.1", PORT, allowed)(scope, receive, send))
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
        (OWN, ("origin", "https://127.0.0.1:4200")),
        (OWN, ("origin", "http://127.0.0.1:4200"), ("origin", "http://127.0.0.1:4200")),
        (OWN, ("origin", "//127.0.0.1:4200")),
        (OWN, ("origin", "http://127.0.0.1:4200/")),
        (OWN, ("origin", "chrome-extension://127.0.0.1:4200")),
        (OWN, ("origin", "http://127.0.0.1:4200@evil.example")),
        (OWN, ("origin", "http://127.0.0.1.evil.example:4200")),
        (OWN, ("origin", "http://127.0.0.1:4200"), ("origin", "http://evil.example")),
        (OWN, ("origin", "http://127.0.0.1:4200, http://evil.example")),
        (("host", "evil.example:4200"), ("origin", "http://evil.example:4200")),
        (("host", "evil.example:4200"),),
        (("host", "127.0.0.1"),),
        (("host", "127.0.0.1:4201"),),
        (("host", "127.0.0.1:no"),),
        (("host", "localhost.evil.example:4200"),),
        (("host", "127.0.0.1:4200@evil.example"),),
        (("host", "evil.example@127.0.0.1:4200"),),
        (("host", "127.0.0.1:4200, evil.example"),),
        (("host", "127.0.0.2:4200"),),
        (("host", "2130706433:4200"),),  # 127.0.0.1 as one number
        (("host", "[::1]:4200/"),),
        (("host", "[::1:4200"),),
        (("host", "127.0.0.1:4200:4200"),),
        (("host", ""),),
        (),
        (OWN, ("host", "evil.example:4200")),
        (OWN, ("sec-fetch-site", "cross-site")),
        (OWN, ("sec-fetch-site", "same-site")),
        (OWN, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")),
        (OWN, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image"), ("sec-fetch-mode", "no-cors")),
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


@pytest.mark.parametrize("host", ["box.example.org", "192.0.2.7"])
def test_gate_knows_the_name_that_the_server_listens_at(host: str) -> None:
    def call(origin: str) -> int:
        asked = TestClient(gate.Gate(PlainTextResponse("page"), host, PORT), base_url=f"http://{host}:{PORT}")
        return asked.get("/api/health", headers={"origin": origin}).status_code

    assert call(f"http://{host}:{PORT}") == 200
    assert call("http://evil.example") == 403


def test_gate_keeps_answers_out_of_foreign_frames_and_pictures() -> None:
    asked = TestClient(gate.Gate(PlainTextResponse("page"), "127.0.0.1", PORT), base_url=f"http://127.0.0.1:{PORT}")
    for headers, status in (({}, 200), ({"origin": "null"}, 403)):
        got = asked.get("/", headers=headers)
        assert got.status_code == status
        assert got.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert got.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("own", [True, False])
def test_gate_answers_a_websocket_of_a_real_application(own: bool) -> None:
    async def speak(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("secret")
        await websocket.close()

    app = gate.Gate(Starlette(routes=[WebSocketRoute("/api/events/in", speak)]), "127.0.0.1", PORT)
    origin = f"http://127.0.0.1:{PORT}" if own else "http://evil.example"
    opening = TestClient(app).websocket_connect("/api/events/in", headers={"host": OWN[1], "origin": origin})
    if own:
        with opening as websocket:
            assert websocket.receive_text() == "secret"
        return
    with pytest.raises(WebSocketDisconnect):
        opening.__enter__()


def test_settings_outdo_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # Prefect knows each setting by two names.
    monkeypatch.setenv("PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS", "*")
    monkeypatch.setenv("PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED", "false")
    for name, value in gate.settings("127.0.0.1", PORT, []).items():
        monkeypatch.setenv(name, value)
    found = Settings().server.api
    assert "*" not in found.cors_allowed_origins
    assert found.csrf_protection_enabled


@pytest.mark.parametrize(
    "name", ["", "*", "*.example", "https://stonk.example", "a b", "stonk.example/", "a:b", "fd00::5"]
)
def test_running_refuses_a_name_that_is_none(name: str) -> None:
    with pytest.raises(StartError, match="not a name; write it as"):
        server.running("127.0.0.1", PORT, ui=False, allowed=[name]).__enter__()


def test_settings_name_own_origins_alone() -> None:
    names = gate.settings("127.0.0.1", PORT, ["stonk.example.org"])
    origins = names["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert "http://127.0.0.1:4200" in origins and "https://stonk.example.org" in origins and "*" not in origins
    assert names["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "", "stonk.example.org"])
def test_running_refuses_other_machines_without_a_password(host: str) -> None:
    with pytest.raises(StartError, match="PREFECT_SERVER_API_AUTH_STRING"):
        server.running(host, PORT, ui=False).__enter__()


def test_server_on_its_own_refuses_other_machines_without_a_password(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "tasks.server", "0.0.0.0", str(server.free_port())]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=kept | {"PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: --host 0.0.0.0: other machines could")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_require_password_leaves_the_loopback_interface_alone(host: str) -> None:
    access.require_password(host)
