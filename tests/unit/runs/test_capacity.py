"""Memory and disk used up are told from other errors, and the message says what to change."""

import errno
import shutil
from types import SimpleNamespace

import pytest

from stonk_pipeline.contracts.forecast.steps import STEPS
from stonk_pipeline.errors import BusyError, ConfigError, DataError, DownloadError, EngineError, StageError, StartError
from stonk_pipeline.runs import capacity


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
        ValueError("No available memory for the cache blocks."),
    ],
)
def test_explain_names_the_setting_that_needs_less_memory(tmp_path, error):
    told = capacity.explain(error, "sft", tmp_path, STEPS["sft"].smaller)
    assert str(told).startswith("sft: out of memory (")
    assert "sft.micro_batch" in str(told)
    assert not told.transient


def test_explain_looks_behind_an_engine_that_did_not_start(tmp_path):
    try:
        try:
            raise ValueError("No available memory for the cache blocks.")
        except ValueError as error:
            raise StartError("vLLM did not start") from error
    except StartError as error:
        assert "gpu_memory_utilization" in str(capacity.explain(error, "sample", tmp_path, STEPS["sample"].smaller))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/x/model.safetensors"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_explain_says_that_the_disk_is_full(tmp_path, error):
    told = str(capacity.explain(error, "grpo-first", tmp_path, STEPS["grpo-first"].smaller))
    assert told.startswith("grpo-first: the disk is full (")
    assert "stages that are done stay done" in told


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "models/tiny/AAPL/adapter"),
        shutil.Error([("run/adapter/a", "models/tiny/AAPL/adapter", "[Errno 28] No space left on device: 'x'")]),
    ],
)
def test_explain_names_the_disk_that_is_full(tmp_path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()  # a disk of its own, which the run's directory is not on
    free = {tmp_path / "models": 3_000_000}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free.get(path, 9e12)))
    told = str(capacity.explain(error, "sft", tmp_path / "run", STEPS["sft"].smaller))
    assert f"the disk is full ({tmp_path}/models/tiny/AAPL/adapter; 3 MB free)" in told


def test_explain_leaves_other_errors_alone(tmp_path):
    for error in (RuntimeError("shape mismatch"), OSError(errno.ENOENT, "no such file"), ConfigError("sft.epochs")):
        assert capacity.explain(error, "sft", tmp_path, STEPS["sft"].smaller) is None


def test_only_errors_that_may_pass_are_transient():
    assert [kind.transient for kind in (BusyError, StartError, DownloadError)] == [True, True, True]
    assert not any(kind.transient for kind in (ConfigError, DataError, EngineError, StageError))
