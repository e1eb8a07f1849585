"""setup.sh and the two run scripts, with a stand-in for Python and pip that answers as they do within milliseconds."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
COPIED = ("setup.sh", "run_pipeline.sh", "run_tests.sh", "pyproject.toml", "constraints")

STAND_IN = """#!/usr/bin/env bash
case "$*" in
    *version_info*"<"*) exit "${FAKE_OLD:-0}" ;;
    *ensurepip*) exit "${FAKE_NO_VENV:-0}" ;;
    *print*version_info*) echo "${FAKE_VERSION:-3.11.7}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$FAKE_PYTHON" "$3/bin/python" && echo venv >>calls ;;
    "-m pip install "*) echo "pip ${*: -1}" >>calls && eval "${FAKE_PIP:-}" ;;
    "-m flows"*) echo "flow ${*:3}" && exit "${FAKE_FLOW:-0}" ;;
esac
"""


def hear_interrupts() -> None:
    """Undoes what a shell does to its background jobs: they ignore SIGINT, and so would the set-up."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Checkout:
    """A copy of what set-up reads, and a PATH on which every Python is the stand-in."""

    def __init__(self, path: Path) -> None:
        self.path, self.bin = path / "checkout", path / "bin"
        self.path.mkdir()
        self.bin.mkdir()
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.path / name)
        for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
            self.put(name, STAND_IN)
        self.put("df", "#!/bin/sh\necho header\necho disk 0 0 ${FAKE_FREE:-90000000} 0 /\n")
        self.put("nvidia-smi", '#!/bin/sh\necho "$FAKE_GPU"\n')

    def put(self, name: str, text: str, folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def environment(self, **extra: str) -> dict[str, str]:
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "FAKE_PYTHON": str(self.bin / "python3"), **extra}

    def run(self, script: str = "setup.sh", *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [f"./{script}", *arguments]
        return subprocess.run(
            command,
            cwd=self.path,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, **extra: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["./setup.sh"],
            cwd=self.path,
            env=self.environment(**extra),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=hear_interrupts,
        )

    @property
    def calls(self) -> list[str]:
        path = self.path / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"PYTHON": "/nonexistent"}, "PYTHON=/nonexistent is no Python 3.11 to 3.14"),
        ({"FAKE_OLD": "1"}, "no Python 3.11 to 3.14 found"),
        ({"FAKE_NO_VENV": "1"}, "python3.11 has no venv module"),
        ({"FAKE_FREE": "5000000"}, "4 GB of disk are free"),
        ({"STONK_DEVICE": "tpu"}, "STONK_DEVICE=tpu: use cpu or gpu"),
    ],
)
def test_setup_says_in_one_line_what_is_missing(checkout, extra, message):
    done = checkout.run(**extra)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert checkout.calls == []


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("WARNING: NewConnectionError(...)", "pip cannot reach its package index"),
        ("ERROR: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: No matching distribution found for torch==2.13.0", "No matching distribution found for torch"),
    ],
)
def test_setup_explains_why_pip_failed_and_goes_on_from_there(checkout, says, message):
    done = checkout.run(FAKE_PIP=f'echo "{says}"; exit 1')
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    assert checkout.run().returncode == 0
    assert checkout.calls.count("venv") == 1  # pip had written nothing yet, so the environment is kept


def test_setup_names_the_file_that_differs_from_the_pinned_one(checkout, tmp_path):
    # The words are pip's own: it is the real one, and is given a file that anybody could have put there.
    (tmp_path / "six-1.17.0-py2.py3-none-any.whl").write_bytes(b"forged")
    (tmp_path / "list.txt").write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    pip = f"{sys.executable} -m pip --isolated install --dry-run --ignore-installed --no-index --find-links {tmp_path}"
    done = checkout.run(FAKE_PIP=f"{pip} --no-deps --require-hashes -r {tmp_path}/list.txt")
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"setup: six==1.17.0 at file://{tmp_path}/six-1.17.0-py2.py3-none-any.whl is not the file")
    assert "PIP_NO_CACHE_DIR=1 ./setup.sh" in said
    assert checkout.calls == ["venv", "pip .venv/setup.tools"]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_setup_asks_for_the_pinned_files(checkout, device):
    no_cpu_build = "[[ $* != *+cpu* ]] || exit 1"
    assert checkout.run(STONK_DEVICE=device, FAKE_PIP=no_cpu_build).returncode == 0
    log = (checkout.path / ".venv" / "setup.log").read_text().splitlines()
    asked = [line for line in log if line.startswith("pip install")]
    unpinned = [line.split()[-1] for line in asked if "--no-deps --no-build-isolation --require-hashes" not in line]
    assert unpinned == (["torch==2.13.0+cpu"] if device == "cpu" else []) + ["."]


UV = """#!/usr/bin/env bash
echo "uv ${*: -1}" >>calls
[[ $1 == pip && $2 == install && $3 == --python && $4 == .venv/bin/python ]] && eval "${FAKE_UV:-}"
"""


def test_setup_asks_uv_for_the_same_files(checkout):
    checkout.put("uv", UV)
    assert checkout.run(UV="1", FAKE_UV="[[ $* != *+cpu ]] || exit 1").returncode == 0
    pinned = ["constraints/torch.hashes.txt", "constraints/cpu.hashes.txt"]
    tried = ["torch==2.13.0+cpu"] * 2  # from the user's index, and from where uv knows it
    assert checkout.calls == ["venv", *[f"uv {name}" for name in (".venv/setup.tools", *tried, *pinned, ".")]]
    log = (checkout.path / ".venv" / "setup.log").read_text()
    assert log.count("--no-deps --no-build-isolation --require-hashes -r") == 3


def test_setup_explains_why_uv_failed(checkout):
    assert "there is no uv here; install it" in checkout.run(UV="1").stderr
    checkout.put("uv", UV)
    done = checkout.run(UV="1", FAKE_UV="echo '  cause: Hash mismatch for `six==1.17.0`'; exit 1")
    assert done.stderr.splitlines()[-1].startswith("setup: six==1.17.0: what uv was given is not the file that is pin")
    done = checkout.run(UV="1", FAKE_UV="echo '  cause: client error (Connect)'; exit 1")
    assert "uv cannot reach its package index" in done.stderr


def test_setup_starts_anew_after_uv_failed_while_it_wrote(checkout):
    checkout.put("uv", UV)
    assert checkout.run(UV="1", FAKE_UV="echo 'Prepared 2 packages in 1s'; exit 1").returncode == 1
    assert "replacing" in checkout.run(UV="1").stderr


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_setup_installs_first_what_builds_the_others(checkout, device):
    checkout.run(STONK_DEVICE=device, FAKE_PIP="cp .venv/setup.tools tools")
    needed, names = set(), ["setuptools", "hatchling", "editables"]
    while names:
        name = canonicalize_name(names.pop())
        needed.add(name)
        wanted = map(Requirement, importlib.metadata.requires(name) or [])
        names += [item.name for item in wanted if item.marker is None or item.marker.evaluate({"extra": ""})]
    lines = (checkout.path / "tools").read_text().splitlines()
    assert {line.split("==")[0] for line in lines if "==" in line} == needed
    assert "--hash=sha256:" in lines[-1]


def test_setup_does_nothing_the_second_time(checkout):
    assert checkout.run().returncode == 0
    calls = checkout.calls
    assert calls[0] == "venv"
    assert calls[-1] == "pip ."
    again = checkout.run()
    assert (again.returncode, again.stderr, checkout.calls) == (0, "", calls)


def test_setup_updates_in_place_when_its_inputs_change(checkout):
    checkout.run()
    with (checkout.path / "constraints" / "cpu.hashes.txt").open("a") as stream:
        stream.write("# changed\n")
    assert "updating" in checkout.run().stderr
    assert checkout.calls.count("venv") == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_setup_starts_anew_after_being_stopped_while_it_wrote(checkout, how):
    child = checkout.start(FAKE_PIP='echo "Installing collected packages: x"; sleep 30')
    wait_for(lambda: (checkout.path / ".venv" / "setup.busy").exists() and "pip .venv/setup.tools" in checkout.calls)
    os.killpg(child.pid, how)
    assert child.wait(timeout=30) != 0
    assert "replacing" in checkout.run().stderr
    assert checkout.calls.count("venv") == 2
    assert checkout.run().stderr == ""


def test_setup_starts_anew_after_pip_failed_while_it_wrote(checkout):
    assert checkout.run(FAKE_PIP='echo "Installing collected packages: x"; exit 1').returncode == 1
    assert "replacing" in checkout.run().stderr


@pytest.mark.skipif(shutil.which("flock") is None, reason="there is no flock, so nothing keeps two set-ups apart")
def test_two_setups_at_once_make_one_environment(checkout):
    both = [checkout.start(FAKE_PIP="sleep 0.3") for _ in range(2)]
    said = [child.communicate(timeout=60)[1] for child in both]
    assert [child.returncode for child in both] == [0, 0]
    assert checkout.calls.count("venv") == 1
    assert checkout.calls.count("pip .") == 1
    assert any("waiting for another set-up" in text for text in said)


def test_setup_replaces_an_environment_that_was_moved(checkout):
    checkout.run()
    checkout.path = checkout.path.rename(checkout.path.with_name("elsewhere"))
    assert "replacing" in checkout.run().stderr


def test_setup_replaces_an_environment_of_another_python_only_when_asked(checkout):
    checkout.run()
    assert checkout.run(FAKE_VERSION="3.12.1").stderr == ""
    checkout.put("other", STAND_IN.replace("3.11.7", "3.12.1"))
    assert (
        "replacing" in checkout.run(PYTHON=str(checkout.bin / "other"), FAKE_PYTHON=str(checkout.bin / "other")).stderr
    )


def test_setup_leaves_a_folder_alone_that_it_did_not_make(checkout):
    checkout.put("diary.txt", "mine", checkout.path / ".venv")
    done = checkout.run()
    assert done.returncode == 1
    assert "move it away" in done.stderr
    assert (checkout.path / ".venv" / "diary.txt").exists()


def test_setup_does_not_follow_a_link_to_the_environment_of_another_checkout(checkout, tmp_path):
    checkout.run()
    theirs = (checkout.path / ".venv").rename(tmp_path / "theirs")
    (checkout.path / ".venv").symlink_to(theirs)
    before = sorted(theirs.rglob("*"))
    done = checkout.run(STONK_DEVICE="gpu")
    assert done.returncode == 1
    assert f".venv is a link to {theirs}; remove the link" in done.stderr
    assert sorted(theirs.rglob("*")) == before


def test_setup_does_not_make_an_environment_behind_a_dangling_link(checkout, tmp_path):
    (checkout.path / ".venv").symlink_to(tmp_path / "gone")
    done = checkout.run()
    assert done.returncode == 1
    assert f".venv is a link to {tmp_path / 'gone'}; remove the link" in done.stderr
    assert not (tmp_path / "gone").exists()
    assert checkout.calls == []


@pytest.mark.parametrize("place", ["bin", "lib", "lib/python3.11", "lib/python3.11/site-packages", "setup.log"])
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_setup_writes_nothing_behind_a_link_inside_of_the_environment(checkout, tmp_path, place, device):
    """As unfitting (gpu) it would be emptied, as fitting (cpu) be installed into."""
    checkout.run()
    inside, theirs = checkout.path / ".venv" / place, tmp_path / "theirs"
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.rename(theirs) if inside.exists() else theirs.mkdir()
    inside.symlink_to(theirs)
    before = theirs.read_bytes() if theirs.is_file() else sorted(theirs.rglob("*"))
    calls = checkout.calls
    with (checkout.path / "constraints" / "cpu.hashes.txt").open("a") as stream:
        stream.write("# changed\n")
    done = checkout.run(STONK_DEVICE=device)
    assert done.returncode == 1
    assert f"{place} is a link to {theirs}; remove the link" in done.stderr
    assert (theirs.read_bytes() if theirs.is_file() else sorted(theirs.rglob("*"))) == before
    assert checkout.calls == calls


def test_setup_removes_a_link_that_lies_about_and_not_what_is_behind_it(checkout, tmp_path):
    checkout.run()
    checkout.put("diary.txt", "mine", tmp_path / "theirs")
    (checkout.path / ".venv" / "notes").symlink_to(tmp_path / "theirs")
    assert "replacing" in checkout.run(STONK_DEVICE="gpu").stderr
    assert (tmp_path / "theirs" / "diary.txt").exists()
    assert not (checkout.path / ".venv" / "notes").is_symlink()


def test_setup_takes_the_cuda_set_where_there_is_a_gpu(checkout):
    assert "for CUDA" in checkout.run(FAKE_GPU="GPU 0: NVIDIA H200 (UUID: GPU-1)").stderr
    assert checkout.calls == ["venv", "pip .venv/setup.tools", "pip constraints/gpu.hashes.txt", "pip ."]


def test_setup_falls_back_to_the_general_torch(checkout):
    # Where pip knows no index with CPU builds, as on most machines.
    done = checkout.run(FAKE_PIP='if [[ $* == *+cpu* ]]; then echo "ERROR: No matching distribution found"; exit 1; fi')
    assert done.returncode == 0
    assert "no CPU build" in done.stderr
    assert "pip constraints/torch.hashes.txt" in checkout.calls


def test_run_pipeline_passes_options_and_exit_code_on(checkout):
    done = checkout.run("run_pipeline.sh", "--stock", "A B", FAKE_FLOW="7")
    assert done.returncode == 7
    assert done.stdout == "flow --stock A B\n"


def test_run_tests_runs_every_check_and_exits_with_the_first_failure(checkout):
    checkout.run()
    for name, code in (("ruff", 0), ("mypy", 3), ("lint-imports", 1), ("pytest", 5)):
        checkout.put(name, f'#!/bin/sh\necho {name} "$@"\nexit {code}\n', checkout.path / ".venv" / "bin")
    done = checkout.run("run_tests.sh", "--unit", "-k", "x y")
    assert done.returncode == 3
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ruff", "ruff", "mypy", "lint-imports", "pytest"]
    assert done.stdout.splitlines()[-1] == "pytest -n 2 --dist loadfile tests/unit -k x y"
    assert "failed: mypy" in done.stderr


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
