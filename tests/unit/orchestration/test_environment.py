"""What every process that speaks with a Prefect server finds in its environment, and how one ends while it begins."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stonk_pipeline.errors import StartError
from stonk_pipeline.runs import interrupt
from tasks import access, environment, server

ROOT = Path(__file__).parents[3]
OWN = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}


@pytest.mark.parametrize("module", ["tasks.server", "flows"])
def test_import_opts_out_of_telemetry_before_prefect_is_imported(module: str) -> None:
    """`python -m tasks.server` imports `tasks`, and no flow."""
    code = (
        f"import os, sys, {module.partition('.')[0]}\n"
        "print(os.environ['DO_NOT_TRACK'], os.environ['PREFECT_SERVER_ANALYTICS_ENABLED'], 'prefect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=OWN, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "false", "False"]


PATHS = """
import tasks
from prefect.settings import get_current_settings as settings
print(settings().results.local_storage_path, settings().server.memo_store_path, settings().logging.config_path)
"""


@pytest.mark.parametrize("named", [False, True])
def test_prefect_keeps_all_below_its_home(tmp_path: Path, named: bool) -> None:
    """Prefect 3.7 by itself has results, memo and the settings of its logging in `~/.prefect` all the same."""
    own = OWN | {"HOME": str(tmp_path / "home"), "PREFECT_HOME": "~/kept"}
    expected = [str(tmp_path / "home" / "kept" / name) for name in ("storage", "memo_store.toml", "logging.yml")]
    if named:  # who names a place of his own has it, by either name of the setting
        expected[:2] = [str(tmp_path / "results"), str(tmp_path / "memo")]
        own |= {"PREFECT_RESULTS_LOCAL_STORAGE_PATH": expected[0], "PREFECT_MEMO_STORE_PATH": expected[1]}
    done = subprocess.run([sys.executable, "-c", PATHS], env=own, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A proxy that is not there, and no host that is asked without it."""
    for name in (*environment.PROXIES, *environment.NOT_THROUGH):
        for each in (name, name.upper()):
            monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    yield monkeypatch


def test_ask_directly_adds_to_the_hosts_that_are_named(proxy: pytest.MonkeyPatch) -> None:
    proxy.setenv("NO_PROXY", "example.com, localhost")
    environment.settle()
    environment.ask_directly("10.0.0.5")
    expected = "example.com,localhost,127.0.0.1,::1,10.0.0.5"
    assert (os.environ["NO_PROXY"], os.environ["no_proxy"]) == (expected, expected)


def test_ask_directly_sets_nothing_where_no_proxy_is_named(proxy: pytest.MonkeyPatch) -> None:
    proxy.delenv("HTTP_PROXY")
    environment.settle()
    assert "NO_PROXY" not in os.environ


def test_own_server_is_asked_through_no_proxy(proxy: pytest.MonkeyPatch, answering: tuple[str, list[object]]) -> None:
    url = answering[0]
    assert not server.is_healthy(url)  # the control: through the proxy, which is not there
    assert server.is_healthy(url, own=True)
    environment.settle()
    assert server.is_healthy(url)


def test_running_says_why_a_server_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prefect.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    with (
        pytest.raises(
            StartError, match=r"(?s)did not start; its last words:.*file is not a database.*PREFECT_HOME names"
        ),
        server.running(access.LOOPBACK, server.free_port(), ui=False),
    ):
        raise AssertionError("there is no server")


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("flows", "pydantic.main"),
        ("flows", "prefect.flows"),
        ("flows.serve", "prefect.settings"),
        ("flows.ingest_flow", "prefect.client.orchestration"),
        ("stonk_pipeline", "stonk_pipeline.errors"),
        ("tasks.server", "httpx"),
    ],
)
def test_ctrl_c_ends_a_command_that_still_imports_its_libraries(module: str, imported: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", module, "--help"],  # tells on standard error what is imported
        env=OWN | {"PREFECT_HOME": str(tmp_path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stderr is not None
        for line in command.stderr:
            if line.rpartition("|")[2].strip() == imported:
                break
        command.send_signal(signal.SIGINT)
        out, rest = command.communicate(timeout=60)
    assert (command.returncode, out) == (interrupt.INTERRUPTED, "")
    assert "Traceback" not in rest


def test_raise_again_makes_ctrl_c_an_exception_again() -> None:
    interrupt.end_at_once()
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    interrupt.raise_again()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
