"""Options of the operations flows."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed

from stonk_pipeline.commands.retraining import RetrainConfig
from stonk_pipeline.config.operations import IngestConfig
from tasks.operations_terminal import main


@pytest.fixture(autouse=True)
def named_server(answering: tuple[str, list[Any]]) -> Iterator[None]:
    """A server is named, so that none is started; no flow of these tests calls it."""
    with temporary_settings({PREFECT_API_URL: answering[0]}):
        yield


class Seen:
    """Stands where a flow is called, and keeps what it was called with."""

    def __init__(self, state: Any) -> None:
        self.__name__ = "ingest_flow"
        self.state = state
        self.config: Any = None

    def __call__(self, config: Any, return_state: bool) -> Any:
        assert return_state
        self.config = config
        return self.state


def test_main_reads_every_kind_of_option(capsys):
    seen = Seen(Completed(message="done"))
    options = ["--symbols", "ON, NO,BRK-A", "--start", "2011-02-03", "--adjust", "false", "--attempts", "2"]
    assert main(seen, IngestConfig, "", options) == 0
    assert seen.config == IngestConfig(symbols=["ON", "NO", "BRK-A"], start="2011-02-03", adjust=False, attempts=2)
    assert capsys.readouterr().out == "Completed: done\n"


def test_main_refuses_overrides_that_are_no_yaml(capsys):
    assert main(lambda config, **_: None, RetrainConfig, "", ["--overrides", "{seed: 2019-02-30"]) == 1
    assert capsys.readouterr().err.startswith("error: --overrides: the value is not readable as YAML")


def test_main_reads_nested_overrides():
    seen = Seen(Completed(message="done"))
    assert main(seen, RetrainConfig, "", ["--overrides", "{comparison: {windows: 5}}", "--stocks", "A,B"]) == 0
    assert (seen.config.overrides, seen.config.stocks) == ({"comparison": {"windows": 5}}, ["A", "B"])


def test_main_ends_with_one_if_the_flow_failed(capsys):
    assert main(Seen(Failed(message="every stock failed")), IngestConfig, "", []) == 1
    assert "every stock failed" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--attempts", "0"], ["--source", "ftp"], ["--source", "http"]])
def test_main_refuses_wrong_settings_before_the_flow(options, capsys):
    seen = Seen(None)
    assert main(seen, IngestConfig, "", options) == 1
    assert seen.config is None
    assert capsys.readouterr().err.startswith("error: ")


def test_main_shows_no_password_of_an_address(capsys):
    given = ["--source", "http", "--address", "http://u:se/cret@example.com/{symbol}.csv"]
    assert main(Seen(None), IngestConfig, "", given) == 1
    said = capsys.readouterr().err
    assert "written as %2F" in said
    assert "cret" not in said


def test_main_ends_with_a_line_where_prefect_gives_up(capsys):
    def flow(config: Any, return_state: bool) -> Any:
        raise RuntimeError("Failed to reach API at http://127.0.0.1/api")

    assert main(flow, IngestConfig, "", []) == 1
    assert capsys.readouterr().err == "error: Failed to reach API at http://127.0.0.1/api\n"


def test_main_describes_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(Seen(None), IngestConfig, "", ["--help"])
    text = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in text for name in IngestConfig.model_fields)
