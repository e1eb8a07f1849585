"""What a browser finds below /results/, and what it does not."""

import os
import socket
import threading
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from tasks import gate, results

PAGE = "<!doctype html><title>report</title><script>fetch('/api')</script>"
VERDICT = """{"model": "m", "finding": "evidence of skill", "sentence": "Evidence of skill: on 9 windows <b>.",
"skill": 1, "low": 1, "high": 1, "warnings": ["It repeats itself."]}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results with a finished run, one that has just begun, links that lead out, and what is nobody's business."""
    made = tmp_path / "results"
    for name in ("AAPL_1", "AAPL_2"):
        (made / name).mkdir(parents=True)
        (made / name / "config.json").write_text("{}")
    run = made / "AAPL_1"
    (run / "report.html").write_text(PAGE)
    (run / "model_comparison").mkdir()
    (run / "model_comparison" / "verdict.json").write_text(VERDICT)
    (run / "pipeline.log").write_text("said\n")
    (run / "data.parquet").write_bytes(b"x")
    (run / ".lock").write_text("held")
    (run / ".stonk-pipeline-1-new").mkdir()
    (run / ".stonk-pipeline-1-new" / "half.csv").write_text("a")
    (made / "report.html").write_text("of no run")
    (made / "notes").mkdir()
    (made / "notes" / "diary.html").write_text("of no run")
    (made / ".hidden").mkdir()
    (made / ".hidden" / "config.json").write_text("{}")
    (made / ".hidden" / "report.html").write_text("hidden")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "config.json").write_text("{}")
    (tmp_path / "secret" / "report.html").write_text("secret")
    (tmp_path / "results-of-others").mkdir()
    (tmp_path / "results-of-others" / "report.html").write_text("secret")
    (made / "elsewhere").symlink_to(tmp_path / "secret")
    (run / "link.html").symlink_to(tmp_path / "secret" / "report.html")
    (run / "up").symlink_to(tmp_path)
    (run / "inside.html").symlink_to(run / "report.html")
    (run / "lock.html").symlink_to(run / ".lock")
    (run / "out.html").symlink_to(made / "report.html")
    os.mkfifo(run / "pipe.html")
    return made


def browser(folder: Path, password: str | None = None) -> TestClient:
    """Asks as a browser that shows the server's own pages, through the gate that stands before it."""
    shown = results.Results(PlainTextResponse("the UI"), folder, password)
    return TestClient(gate.Gate(shown, "127.0.0.1", 4200), base_url="http://127.0.0.1:4200", follow_redirects=False)


def test_page_of_runs_has_verdicts_and_links_to_reports(folder: Path) -> None:
    asked = browser(folder)
    assert asked.get("/results").headers["location"] == "/results/"
    page = asked.get("/results/").text
    assert "<b>Evidence of skill.</b> On 9 windows &lt;b&gt;." in page
    assert "It repeats itself." in page
    assert "No verdict yet." in page
    assert page.count("<li ") == 2
    assert '<a href="/results/AAPL_1/report.html">' in page
    assert asked.get("/results/AAPL_1/report.html").text == PAGE
    (folder / "AAPL_1" / "model_comparison" / "verdict.json").write_text("{")
    assert "Verdict damaged." in asked.get("/results/").text
    assert "no run in this folder" in browser(folder / "not-there").get("/results/").text


@pytest.mark.parametrize(
    ("name", "kind"), [("report.html", "text/html"), ("pipeline.log", "text/plain"), ("inside.html", "text/html")]
)
def test_files_of_runs_are_shown_and_may_do_nothing(folder: Path, name: str, kind: str) -> None:
    found = browser(folder).get(f"/results/AAPL_1/{name}")
    assert (found.status_code, found.headers["content-type"].split(";")[0]) == (200, kind)
    own, framed = found.headers.get_list("content-security-policy")
    assert own == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
    assert framed == "frame-ancestors 'self'"
    assert found.headers["x-content-type-options"] == "nosniff"
    head = browser(folder).head(f"/results/AAPL_1/{name}")
    assert (head.status_code, head.text) == (200, "")


@pytest.mark.parametrize(
    "path",
    [
        "%2e%2e/secret/report.html",
        "AAPL_1/..%2f..%2fsecret/report.html",
        "..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "..%2fresults-of-others/report.html",
        "..\\secret\\report.html",
        "..%5csecret%5creport.html",
        "/etc/passwd",
        "%2fetc/passwd",
        "//etc/passwd",
        "elsewhere/report.html",
        "AAPL_1/link.html",
        "AAPL_1/up/secret/report.html",
        "AAPL_1/up/results/AAPL_1/.lock",
        "AAPL_1/.lock",
        "AAPL_1/lock.html",
        "AAPL_1/.stonk-pipeline-1-new/half.csv",
        ".hidden/report.html",
        "report.html",
        "AAPL_1/out.html",
        "notes/diary.html",
        "AAPL_1/pipe.html",
        "AAPL_1",
        "AAPL_1/",
        "AAPL_1/model_comparison",
        "AAPL_1/report.html/x",
        "AAPL_1/report.html%00.png",
        "%00",
        "AAPL_1/" + "x" * 5000,
        "AAPL_1/nothing.html",
    ],
)
def test_nothing_else_is_found(folder: Path, path: str) -> None:
    found = browser(folder).get(f"/results/{path}")
    assert found.status_code == 404
    assert found.text == "Not Found"
    assert "sandbox" in found.headers["content-security-policy"]


def test_files_of_a_real_server_are_found_by_no_path_that_leads_out(folder: Path) -> None:
    """Clients tidy paths up before they send them; a socket does not."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        app = gate.Gate(results.Results(PlainTextResponse("the UI"), folder), "127.0.0.1", port)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
        thread.start()
        taken.listen()
        answers = {}
        for path in (
            "AAPL_1/report.html",
            "../secret/report.html",
            "%2e%2e/secret/report.html",
            "x/../../secret/report.html",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
                raw.sendall(f"GET /results/{path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                answers[path] = raw.makefile("rb").readline().split()[1]
        server.should_exit = True
        thread.join(10)
    assert list(answers.values()) == [b"200", b"404", b"404", b"404"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "AAPL_1/report.html"])
def test_results_can_be_read_and_nothing_else(folder: Path, method: str, path: str) -> None:
    assert browser(folder).request(method, f"/results/{path}").status_code == 405
    assert (folder / "AAPL_1" / "report.html").read_text() == PAGE


def test_foreign_pages_and_names_are_refused(folder: Path) -> None:
    asked, path = browser(folder), "/results/AAPL_1/report.html"
    assert asked.get(path, headers={"host": "evil.example:4200"}).status_code == 403
    assert asked.get(path, headers={"origin": "http://evil.example"}).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert asked.get(path, headers=link).status_code == 200  # a person followed it, also from another report
    assert asked.get(path, headers=link | {"sec-fetch-dest": "iframe"}).status_code == 403


def test_password_of_the_server_is_asked_for(folder: Path) -> None:
    asked, path = browser(folder, "admin:lång"), "/results/AAPL_1/report.html"
    for wrong in (None, ("admin", "long"), ("admin", "")):
        refused = asked.get(path, auth=wrong)
        assert (refused.status_code, refused.text) == (401, "password needed")
        assert refused.headers["www-authenticate"].startswith("Basic ")
    assert asked.get("/results/").status_code == 401
    assert asked.get(path, auth=("admin", "lång")).text == PAGE
    assert asked.get("/deployments").text == "the UI"  # which asks for it by itself


def test_other_paths_are_the_servers(folder: Path) -> None:
    for path in ("/", "/resultsx", "/results-of-others/report.html", "/api/health"):
        assert browser(folder).get(path).text == "the UI"


def test_address_is_that_of_a_file_that_a_server_shows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "AAPL 1%" / "report.html"
    monkeypatch.delenv(results.OFFERED, raising=False)
    assert results.address(path) is None
    monkeypatch.setenv(results.OFFERED, str(folder))
    assert results.address(path) == "/results/AAPL%201%25/report.html"
    assert results.address(folder.parent / "secret" / "report.html") is None
