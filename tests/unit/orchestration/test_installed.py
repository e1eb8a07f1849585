"""The installed program: its commands, what it lacks in a light install or on another system, whose files it takes."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import command
from stonk_pipeline import cli
from stonk_pipeline.errors import ConfigError, StartError
from stonk_pipeline.files import provenance, roots
from stonk_pipeline.runs import program
from tasks import terminal

ROOT = Path(__file__).parents[3]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PREFECT_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=own, capture_output=True, text=True, check=False
    )


def test_help_lists_flows_and_stages_and_imports_nothing_heavy(tmp_path: Path) -> None:
    done = python(tmp_path, "-X", "importtime", "-m", "flows.command", "--help")
    assert (done.returncode, done.stdout.partition(" [")[0]) == (0, "usage: stonk-pipeline COMMAND")
    listed = {line.split()[0] for line in done.stdout.splitlines() if line[:2] == "  " and line[2:3].strip()}
    assert listed >= {*command.FLOWS, "preprocess", "compare", "evaluate", "models"}
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "stonk_pipeline.cli" in imported
    assert not imported & {"torch", "transformers", "prefect", "pandas", "numpy"}


@pytest.mark.parametrize("name", command.FLOWS)
def test_every_flow_of_the_program_has_its_own_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv(program.INSTALLED, "1")
    with pytest.raises(SystemExit, match="0"):
        command.FLOWS[name][0](["--help"])
    assert capsys.readouterr().out.startswith(f"usage: stonk-pipeline {name} [")


def test_messages_name_the_command_that_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(program.INSTALLED, raising=False)
    assert program.pipeline("--continue x") == "./run_pipeline.sh --continue x"
    assert (program.serve(), program.stages()) == ("./run_pipeline.sh serve", "python -m stonk_pipeline")
    assert program.flow("ingest_flow") == "python -m flows.ingest_flow"
    monkeypatch.setenv(program.INSTALLED, "1")
    assert program.pipeline("--continue x") == "stonk-pipeline run --continue x"
    assert (program.serve(), program.stages()) == ("stonk-pipeline serve", "stonk-pipeline")
    assert program.flow("ingest_flow") == "stonk-pipeline ingest"


CHILD = "import subprocess, sys; raise SystemExit(subprocess.call([sys.executable, '-m', 'tasks.server', '--help']))"
INSTALLED = f"from stonk_pipeline.runs import program; program.become_installed(); {CHILD}"


def test_children_of_the_program_take_no_file_of_the_users_for_the_packages(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise SystemExit(77)")
    assert python(tmp_path, "-c", CHILD).returncode != 0  # the control: `-m` looks here first
    assert python(tmp_path, "-P", "-c", INSTALLED).returncode == 0


def test_light_install_says_what_is_missing_before_a_run(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    assert terminal.main({"forecast": lambda config: ""}, ["--recipe", "small"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("error: trl is not installed, and")
    assert "pip install 'PACKAGE[cpu]'" in said


@pytest.mark.parametrize(("library", "extra"), [("torch.not_loaded_yet", "cpu"), ("vllm", "gpu")])
def test_light_install_says_what_is_missing_for_a_command(library, extra, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setitem(sys.modules, library.partition(".")[0], None)
    monkeypatch.setattr(cli, "_data", lambda args: importlib.import_module(library))
    assert cli.main(["data"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {library.partition('.')[0]} is not installed, and asking or training a model needs")
    assert (said.count("\n"), f"PACKAGE[{extra}]" in said) == (1, True)


def test_any_other_module_that_is_missing_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_data", lambda args: importlib.import_module("stonk_pipeline.no_such_module"))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["data"])


def test_package_says_that_it_does_not_run_on_windows(tmp_path: Path) -> None:
    done = python(tmp_path, "-c", "import sys; sys.platform = 'win32'; import flows.command")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: Stonk Pipeline runs on Linux")


def test_serve_does_not_hand_a_whole_home_to_its_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home" / "stonks").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home" / "stonks")
    assert roots.here() == tmp_path / "home" / "stonks"
    for above in (tmp_path / "home", tmp_path, Path("/")):
        monkeypatch.chdir(above)
        with pytest.raises(ConfigError, match="name one with --root"):
            roots.here()


def test_serve_refuses_a_folder_with_a_namesake_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "preprocessing").mkdir()  # as in the directory of a run
    program.require_no_namesake(tmp_path)
    program.require_no_namesake(ROOT)
    (tmp_path / "tasks.py").touch()
    with pytest.raises(StartError, match=r"tasks\.py: runs that are served from here"):
        program.require_no_namesake(tmp_path)


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_git_commit_is_none_of_a_repository_around_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    package = tmp_path / ".venv" / "stonk_pipeline"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / ".gitignore").write_text(".venv\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".gitignore")
    git(tmp_path, "commit", "-qm", "theirs")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.git_commit() is None
    git(tmp_path, "add", "-f", ".venv")
    git(tmp_path, "commit", "-qm", "ours")
    assert provenance.git_commit() is not None
