"""Foreign web pages and the server that `serve` starts: by hand-made requests, and from a real browser."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import VariableCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tasks import server
from tests import browser
from tests.served import ROOT, Served, environment, free_port

COMMAND = browser.chromium()
EVIL = "evil.example"
SOCKETS = ("/events/in", "/events/out", "/logs/out")
STEPS = [{"prefect.deployments.steps.run_shell_script": {"script": "true"}}]


def attack(served: Served, **headers: str) -> list[httpx.Response]:
    """What a foreign page would send to have a command run: it never gets as far as that here."""
    identity = served.deployment()["id"]
    token = served.api.get("/csrf-token", params={"client": "attack"}).json()["token"]
    known = headers | {"Prefect-Csrf-Client": "attack", "Prefect-Csrf-Token": token}
    body = json.dumps({"pull_steps": STEPS}).encode()
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "content-type"}
    return [
        served.api.options(f"/deployments/{identity}", headers=headers | asked),
        served.api.get("/deployments/name/train/train", headers=headers),
        served.api.patch(
            f"/deployments/{identity}", content=body, headers=known | {"Content-Type": "application/json"}
        ),
        served.api.patch(f"/deployments/{identity}", content=body, headers=known | {"Content-Type": "text/plain"}),
        served.api.post(f"/deployments/{identity}/create_flow_run", content=b"{}", headers=known),
    ]


def test_serve_refuses_foreign_pages_and_rebound_names(served: Served) -> None:
    before = kept(served)
    for headers in ({"Origin": f"http://{EVIL}"}, {"Origin": "null"}, {"Host": f"{EVIL}:{served.port}"}):
        answers = attack(served, **headers)
        assert [answer.status_code for answer in answers] == [403] * 5
        assert not any("access-control-allow-origin" in answer.headers for answer in answers)
    assert kept(served) == before


def test_serve_asks_for_a_token_where_no_page_is_named(served: Served) -> None:
    answer = served.api.patch(f"/deployments/{served.deployment()['id']}", json={"pull_steps": STEPS})
    assert (answer.status_code, answer.json()["detail"]) == (403, "Missing CSRF token.")


@pytest.mark.parametrize("path", SOCKETS)
def test_serve_opens_websockets_for_its_own_pages_and_programs_alone(served: Served, path: str) -> None:
    address = f"{served.url.replace('http', 'ws')}{path}"
    own = served.url.removesuffix("/api")
    for origin in (None, own):
        with connect(address, origin=origin, subprotocols=["prefect"]):  # type: ignore[arg-type, list-item]
            pass
    for origin, headers in ((f"http://{EVIL}", {}), ("null", {})):
        with pytest.raises(InvalidStatus) as caught:
            connect(address, origin=origin, additional_headers=headers)  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403
    rebound = address.replace("127.0.0.1", EVIL)
    with pytest.raises(InvalidStatus) as caught:
        connect(rebound, sock=socket.create_connection(("127.0.0.1", served.port)))
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1:{port}"] * 2, ["127.0.0.1:{port}", EVIL]])
def test_serve_refuses_requests_without_a_host_or_with_two(served: Served, hosts: list[str]) -> None:
    lines = ["GET /api/health HTTP/1.0", *(f"Host: {host}" for host in hosts), "", ""]
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as raw:
        raw.sendall("\r\n".join(lines).format(port=served.port).encode())
        assert raw.recv(4096).split()[1] == b"403"


def test_page_of_serve_asks_the_server_under_the_name_it_was_opened_with(served: Served) -> None:
    for name in ("127.0.0.1", "localhost"):
        own = f"http://{name}:{served.port}"
        assert httpx.get(f"{own}/ui-settings", headers={"Origin": own}).json()["api_url"] == "/api"


def test_worker_runs_a_deployment(served: Served, tmp_path: Path) -> None:
    flow = "from prefect import flow\n\n\n@flow\ndef greet():\n    return 'hello'\n"
    (tmp_path / "greeting.py").write_text(flow, encoding="utf-8")

    def prefect(*words: str) -> None:
        more = environment(served.home, PREFECT_API_URL=served.url)
        command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
        done = subprocess.run(command, cwd=tmp_path, env=more, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    if served.api.get("/work_pools/gate").status_code == 404:
        template = json.loads((ROOT / "work-pool.json").read_text(encoding="utf-8"))
        served.post("/work_pools/", {"name": "gate", "type": "process", "base_job_template": template})
    prefect("deploy", "greeting.py:greet", "--name", "greet", "--pool", "gate")
    path = f"/deployments/{served.deployment('greet/greet')['id']}/create_flow_run"
    for wanted in ({"env": {"STONK_ROOTS": "/"}}, {"env.STONK_ROOTS": "/"}, {"command": "true"}, {"working_dir": "/"}):
        answer = served.send("POST", path, {"state": {"type": "SCHEDULED"}, "job_variables": wanted})
        assert (answer.status_code, "Additional properties" in answer.text) == (422, True)
    run = served.post(path, {"state": {"type": "SCHEDULED"}})["id"]
    prefect("worker", "start", "--pool", "gate", "--run-once")
    assert served.wait(run, seconds=60) == "COMPLETED"


def test_server_that_a_run_starts_for_itself_refuses_foreign_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with temporary_settings({PREFECT_API_URL: None}), server.for_this_run(str):
        url = PREFECT_API_URL.value()
        assert httpx.get(f"{url}/health").status_code == 200
        for headers in ({"Origin": f"http://{EVIL}"}, {"Origin": "null"}, {"Host": EVIL}):
            assert httpx.get(f"{url}/health", headers=headers).status_code == 403
        with get_client(sync_client=True) as client:
            client.create_variable(VariableCreate(name="of_the_run", value="kept"))


def test_prefect_commands_read_and_write(served: Served) -> None:
    def prefect(*words: str) -> str:
        more = environment(served.home, PREFECT_API_URL=served.url)
        command = [sys.executable, "-m", "prefect", *words]
        done = subprocess.run(command, cwd=ROOT, env=more, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prefect("variable", "set", "from_the_shell", "kept")
    assert "kept" in prefect("variable", "get", "from_the_shell")


@pytest.fixture
def foreign_port() -> Iterator[int]:
    """Port of another server of this machine, which has one page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<body>a foreign page<iframe name=hidden></iframe></body>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def kept(served: Served) -> dict[str, object]:
    """The deployment, without what its own process keeps changing."""
    return {name: value for name, value in served.deployment().items() if name not in ("last_polled", "status")}


def tried(page: browser.Page, site: str, identity: str) -> dict[str, object]:
    """What a page gets when it tries to read, write and listen."""
    steps = json.dumps({"pull_steps": STEPS})
    script = f"""(async () => {{
        const api = {json.dumps(site)} + '/api', body = JSON.stringify({steps});
        const outcome = async (work) => {{ try {{ return await work() }} catch (error) {{ return error.name }} }};
        const url = api + '/deployments/{identity}';
        const socket = (path) => new Promise((done) => {{
            const made = new WebSocket(api.replace('http', 'ws') + path, ['prefect']);
            made.onopen = () => {{ made.close(); done('open') }};
            made.onerror = () => done('refused');
        }});
        const form = document.createElement('form');
        form.action = url + '/create_flow_run';
        form.method = 'POST'; form.target = 'hidden'; form.enctype = 'text/plain';
        document.body.append(form);
        const json = {{'Content-Type': 'application/json'}};
        const found = {{
            read: await outcome(async () => (await fetch(url)).status),
            write: await outcome(async () => (await fetch(url, {{method: 'PATCH', body, headers: json}})).status),
            blind: await outcome(async () => (await fetch(url + '/create_flow_run',
                {{method: 'POST', mode: 'no-cors', body: '{{}}'}})).type),
            sockets: await Promise.all({json.dumps(list(SOCKETS))}.map(socket)),
        }};
        form.submit();
        await new Promise((done) => setTimeout(done, 1000));
        return found;
    }})()"""
    found: dict[str, object] = page.ask(script)
    return found


@pytest.mark.skipif(COMMAND is None, reason="no browser: chromium is not installed")
def test_browser_keeps_foreign_pages_out(served: Served, foreign_port: int, tmp_path: Path) -> None:
    site, before = f"http://127.0.0.1:{served.port}", kept(served)
    runs = served.post("/flow_runs/count", {})
    with browser.page(str(COMMAND), tmp_path, f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as page:
        page.open(f"{site}/deployments")  # the control: the server's own page
        assert page.ask(f"fetch('/api/deployments/{before['id']}').then((answer) => answer.status)") == 200
        assert tried(page, site, str(before["id"]))["sockets"] == ["open"] * 3
        page.open(f"{site.replace('127.0.0.1', 'localhost')}/deployments")
        page.wait("document.body.innerText.includes('retrain')")
        for foreign in (f"http://127.0.0.1:{foreign_port}", f"http://{EVIL}:{foreign_port}"):
            for target in (site, f"http://{EVIL}:{served.port}"):
                page.open(foreign)
                found = tried(page, target, str(before["id"]))
                assert found.pop("blind") in ("opaque", "TypeError")  # the page learns nothing, the server refused
                assert found == {"read": "TypeError", "write": "TypeError", "sockets": ["refused"] * 3}
        page.open(f"http://{EVIL}:{served.port}/deployments")  # the rebound name, as a page
        assert "is not this server's name" in page.ask("document.body.innerText")
        own_site = tried(page, f"http://{EVIL}:{served.port}", str(before["id"]))
        assert (own_site["read"], own_site["write"], own_site["sockets"]) == (403, 403, ["refused"] * 3)
    assert kept(served) == before
    assert served.post("/flow_runs/count", {}) == runs


def test_served_run_leaves_other_folders_alone(served: Served, tmp_path: Path) -> None:
    run = served.run(overrides=f"results_dir={tmp_path / 'results'}")
    assert served.wait(run, seconds=120) in ("FAILED", "CRASHED")
    assert "lies outside of the folders that are served" in str(served.api.get(f"/flow_runs/{run}").json()["state"])
    assert list(tmp_path.iterdir()) == []


def test_serve_on_another_interface_needs_a_password_and_takes_it(tmp_path: Path) -> None:
    served = Served(tmp_path, "--host", "0.0.0.0", "--allowed-host", "stonk.example")
    with pytest.raises(AssertionError, match="PREFECT_SERVER_API_AUTH_STRING"):
        served.start()
    served.start(PREFECT_SERVER_API_AUTH_STRING="admin:long")
    try:
        shown = served.url.replace("/api", "/results/")
        assert served.api.get("/deployments/name/train/train").status_code == 401
        assert served.api.get(shown).status_code == 401
        served.api.auth = ("admin", "long")
        assert "<h1>Runs</h1>" in served.api.get(shown).text
        assert served.deployment()["name"] == "train"
        foreign = served.api.get("/deployments/name/train/train", headers={"Origin": f"http://{EVIL}"})
        assert foreign.status_code == 403
        behind = {"Host": "stonk.example", "Origin": "https://stonk.example"}  # as a reverse proxy passes it on
        assert served.api.get("/deployments/name/train/train", headers=behind).status_code == 200
        run = served.run(overrides=f"results_dir={tmp_path / 'elsewhere'}")  # its process tells the server why it fails
        assert served.wait(run, seconds=120) in ("FAILED", "CRASHED")
        assert "lies outside of the folders" in str(served.api.get(f"/flow_runs/{run}").json()["state"])
    finally:
        assert served.stop() == 130
