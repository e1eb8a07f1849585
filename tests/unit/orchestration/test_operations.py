"""Serving, guarding, and going on with a run: what needs no server."""

import os
import subprocess
import sys
from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import pytest
import yaml
from prefect import task
from prefect.utilities.importtools import import_object
from rich.console import Console

from flows import serve
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import BusyError, ConfigError, DataError, StartError
from stonk_pipeline.files.provenance import changed_code, loaded_code
from stonk_pipeline.runs.manifest import Manifest
from tasks import begin, guard, server, steps, terminal

ROOT = Path(__file__).parents[3]


def test_every_served_flow_has_one_parameter_and_a_deployment_in_prefect_yaml():
    written = {
        one["name"]: one["entrypoint"] for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    }
    found = {served.name: f"{served.module}.{served.flow}" for served in serve.DEPLOYMENTS if serve.load(served)}
    assert found.items() >= {"train": "flows.train_flow.train_flow"}.items()
    # Other names than those of `serve`, which would lose its deployments to them on the same server.
    assert written == {f"{name}-worker": entrypoint for name, entrypoint in found.items()}
    for entrypoint in found.values():
        flow = import_object(entrypoint)
        assert len(flow.parameters.properties) == 1


def test_load_leaves_out_a_flow_that_is_not_there():
    assert serve.load(serve.Served("x", "flows.no_such_flow", "x")) is None


@pytest.mark.parametrize(
    ("error", "again"),
    [(BusyError("held"), True), (StartError("no"), True), (DataError("bad"), False), (RuntimeError("no"), False)],
)
def test_is_transient_tells_what_may_pass(error, again):
    from prefect.states import Failed

    condition = steps.run_step.retry_condition_fn
    assert type(condition).__name__ == "function"  # Prefect 3.7 takes other callables for a no
    assert condition(task(lambda: None), None, Failed(data=error)) is again


def test_guard_of_a_run_that_says_goodbye_ends_without_a_word():
    done = subprocess.run(
        [sys.executable, "-m", "tasks.guard", '["no-uuid", 1, "http://127.0.0.1:1/api"]'],
        cwd=ROOT,
        input=guard.GOODBYE,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_hold_shows_that_a_process_works_on_a_run(monkeypatch, tmp_path):
    monkeypatch.setenv("STONK_LOCKS", str(tmp_path))
    code = "import sys; from tasks import guard; guard.hold('a-run'); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        assert guard.is_alive("a-run")
        other.kill()
        other.wait()
    assert not guard.is_alive("a-run")
    assert not guard.is_alive("never-seen")


def test_running_names_a_port_that_is_taken():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartError, match="choose another --port"):
            server.running("127.0.0.1", taken.getsockname()[1], ui=False).__enter__()


@pytest.fixture
def run(tmp_path):
    config = load_config("small", {"results_dir": str(tmp_path), "models_dir": str(tmp_path / "models")})
    return write_run(tmp_path / "run", config)


@pytest.mark.parametrize("name", ["file:///etc", " /etc", "no-such/model/at-all"])
def test_begin_run_refuses_a_model_that_is_none_before_anything_is_made(name, tmp_path):
    config = load_config("small", {"results_dir": str(tmp_path / "results"), "model": {"name": name}})
    with pytest.raises(ConfigError, match=r"^model.name: .*neither a directory here nor a name; give a directory"):
        begin.begin_run(config)
    assert list(tmp_path.iterdir()) == []


def test_discard_removes_a_stage_with_its_checkpoints(run):
    out = run.stage_dir("sft")
    (out / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    for name in ("manifest.json", ".fingerprint"):
        (out / name).write_text("{}")
    terminal.discard(run.config.model_copy(update={"run_dir": str(run.directory)}), "sft, compare")
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_discard_refuses_what_cannot_be_meant(run):
    with pytest.raises(ConfigError, match="--force nope: no such stage; there are preprocess, "):
        terminal.discard(run.config.model_copy(update={"run_dir": str(run.directory)}), "nope")
    with pytest.raises(ConfigError, match="--force needs --continue"):
        terminal.discard(run.config, "sft")


def test_continue_keeps_the_settings_of_the_run_and_changes_single_ones(run, monkeypatch):
    seen = []
    monkeypatch.setattr(terminal, "_run", lambda flow, config, console: seen.append(config) or 0)
    options = ["--continue", str(run.directory), "--set", "sft.epochs=3"]
    assert terminal.main({"forecast": lambda config: ""}, options) == 0
    assert seen[0].sft.epochs == 3
    assert seen[0].run_dir == str(run.directory)
    assert seen[0].sampling == run.config.sampling
    assert terminal.main({"forecast": lambda config: ""}, [*options, "--recipe", "small"]) == 1


@pytest.mark.parametrize("error", [DataError("bad bars"), ZeroDivisionError("division by zero")])
def test_run_says_where_the_traceback_is_of_what_nobody_foresaw(run, monkeypatch, error):
    def flow(config):
        raise error

    monkeypatch.setattr(server, "for_this_run", lambda say: nullcontext())
    monkeypatch.setattr(begin, "opened", run.directory)
    console = Console(file=StringIO(), width=200)
    assert terminal._run(flow, run.config, console) == 1
    said = console.file.getvalue()
    assert f"error: {error}" in said
    assert (f"ZeroDivisionError; the traceback is in {run.directory}/pipeline.log" in said) is (
        not isinstance(error, DataError)
    )


def test_changed_code_names_the_files(run):
    code = loaded_code()
    assert "stonk_pipeline/config/data.py" in code
    assert "stonk_pipeline/cli.py" not in code
    fields = {name: {} for name in ("config", "inputs", "outputs", "numbers", "versions")}
    fields |= {name: "" for name in ("stage", "fingerprint", "digest", "finished")}
    manifest = Manifest(**fields, git_commit=None, seed=None, seconds=1, code=code)
    assert changed_code(manifest.code) == []
    other = manifest.model_copy(
        update={"code": code | {"stonk_pipeline/config/data.py": "0", "stonk_pipeline/gone.py": "0"}}
    )
    assert sorted(changed_code(other.code)) == ["stonk_pipeline/config/data.py", "stonk_pipeline/gone.py"]


def test_guard_imports_nothing_large_before_it_has_to():
    code = "import sys, tasks.guard; print(sorted({'prefect', 'torch', 'pandas'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
