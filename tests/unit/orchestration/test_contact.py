"""The end of a run: its last words are sent, and nobody waits for a server that does not answer."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect.events import emit_event
from prefect.logging.handlers import emit_api_log
from prefect.settings import PREFECT_API_URL, temporary_settings

from stonk_pipeline.errors import StartError
from tasks import contact, server

LINE = {"name": "test", "level": 20, "timestamp": "2026-01-02T00:00:00Z", "message": "the last words"}


@pytest.fixture(autouse=True)
def heard():
    """Other tests hear what senders say."""
    yield
    contact.listen()


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api"


def test_take_leave_stops_senders_whose_server_does_not_answer(silent):
    contact.listen()
    with temporary_settings({PREFECT_API_URL: silent}):
        emit_api_log(dict(LINE))
        emit_event("test", {"prefect.resource.id": "test"})
        assert len(contact.awaited()) == 2  # one for log lines, one for events
        begun = time.monotonic()
        assert contact.take_leave(patience=0.3) == 2
    assert time.monotonic() - begun < 3
    assert contact.awaited() == []


@pytest.mark.parametrize("patience", [0.0, 2.0], ids=["stopped", "refused"])
def test_take_leave_prints_nothing_of_a_server_that_is_gone(patience, capfd, caplog):
    """What a sender prints of it would stand below the remedy of a run that failed."""
    contact.listen()
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.free_port()}/api"}):
        emit_api_log(dict(LINE))
        emit_event("test", {"prefect.resource.id": "test"})
        contact.take_leave(patience)
        until = time.monotonic() + 20
        while contact.awaited() and time.monotonic() < until:
            time.sleep(0.1)
    assert (capfd.readouterr().err, caplog.text, contact.awaited()) == ("", "", [])


def test_take_leave_sends_what_waits_and_nothing_afterwards(answering):
    url, bodies = answering
    contact.listen()
    with temporary_settings({PREFECT_API_URL: url}):
        emit_api_log(dict(LINE))
        assert contact.take_leave(patience=20) == 0
        assert [line["message"] for body in bodies for line in body] == ["the last words"]
        emit_api_log(dict(LINE))
        assert contact.awaited() == []
        contact.listen()
        emit_api_log(dict(LINE))
        assert contact.take_leave(patience=20) == 0
    assert len(bodies) == 2


def test_require_answer_waits_seconds_for_a_server_that_says_nothing(silent, monkeypatch):
    monkeypatch.setattr(contact, "ANSWER_SECONDS", 0.5)
    begun = time.monotonic()
    with (
        temporary_settings({PREFECT_API_URL: silent}),
        pytest.raises(StartError, match=r"no server answers there \(nothing within 0.5 s\)"),
    ):
        contact.require_answer()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, "File not found", r"not a Prefect API \(status 404\); its address ends in /api"),
        (200, "<!doctype html>", r"not a Prefect API \(status 200\); its address ends in /api"),  # the UI's pages
        (401, '{"exception_message": "Unauthorized"}', "status 401: .*Unauthorized.*PREFECT_API_AUTH_STRING"),
        (503, "{}", r"not a Prefect API \(status 503\)"),
    ],
)
def test_require_answer_names_what_answers_in_place_of_an_api(status, body, said):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://me:word@127.0.0.1:{other.server_port}"
        with temporary_settings({PREFECT_API_URL: url}), pytest.raises(StartError, match=said) as caught:
            contact.require_answer()
        other.shutdown()
    assert "word@" not in str(caught.value)


def test_require_answer_gives_the_address_of_a_prefect_api(answering):
    with temporary_settings({PREFECT_API_URL: answering[0]}):
        assert contact.require_answer() == answering[0]


def test_for_this_run_refuses_a_named_server_that_is_gone():
    port = server.free_port()
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        pytest.raises(StartError, match=rf"^PREFECT_API_URL=http://127.0.0.1:{port}/api: no server answers there"),
        server.for_this_run(lambda line: None),
    ):
        raise AssertionError("nothing is run")
