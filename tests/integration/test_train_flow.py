"""The whole flow: real Prefect server, TRL, Unsloth and vLLM on the tiny model."""

import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stonk_pipeline.contracts.forecast.live.forecaster import calibration_of
from stonk_pipeline.contracts.forecast.scores.results import read_comparison
from stonk_pipeline.contracts.forecast.steps import STEPS
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.models.load import load_tokenizer
from stonk_pipeline.models.locations import base_location
from stonk_pipeline.pipeline import run
from stonk_pipeline.registry.contest import read_trial
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import read_manifest, verify
from tasks.table import MARGIN
from tests.pseudo_terminal import Terminal

RunFlow = Callable[[list[str], Path], "subprocess.CompletedProcess[str]"]


def test_flow_leaves_the_layout_of_the_specification(small_run: run.Run) -> None:
    names = {path.name for path in small_run.directory.iterdir()}
    assert names >= {
        "preprocessing",
        "warm_up",
        "stage1_grpo_training",
        "sft_data_generation",
        "stage2_sft_training",
        "stage3_grpo_from_sft",
        "model_comparison",
        "report.html",
        "config.json",
        "pipeline.log",
    }
    assert (small_run.stage_dir("sample") / "EMBEDDED_sft_training_data.csv").is_file()
    for name in ("grpo_lora_1st", "sft_lora", "grpo_lora_2nd"):
        assert (small_run.models_dir / name / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("step", STEPS)
def test_flow_leaves_whole_stages(small_run: run.Run, step: str) -> None:
    manifest = verify(small_run.stage_dir(step))
    assert manifest.outputs or step == "warm-up"  # which was not needed
    assert manifest.numbers
    assert small_run.finished(step) is not None


def test_flow_uses_unsloth_and_vllm(small_run: run.Run) -> None:
    assert read_manifest(small_run.stage_dir("grpo-first")).numbers["backend"] == "unsloth"
    assert read_manifest(small_run.stage_dir("sft")).numbers["backend"] == "unsloth"
    assert read_manifest(small_run.stage_dir("sample")).numbers["engine"] == "vllm"


def test_flow_compares_all_models_on_the_same_windows(small_run: run.Run) -> None:
    rows = read_comparison(small_run.stage_dir("compare")).rows
    assert [row.name for row in rows][:4] == ["base", "grpo_1st", "sft", "grpo_2nd"]
    assert {"persistence", "drift", "best_possible"} <= {row.name for row in rows}
    assert len({row.windows for row in rows}) == 1
    best = next(row for row in rows if row.name == "best_possible")
    assert best.skill > 0.1  # what can be known is there to be learned


def test_flow_logs_every_reward_component(small_run: run.Run) -> None:
    with (small_run.stage_dir("grpo-first") / "training_log.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    for name in ("skill", "direction", "trading", "form"):
        assert all(-1 <= float(row[f"reward_{name}"]) <= 1 for row in rows)
        assert all(float(row[f"spread_{name}"]) >= 0 for row in rows)
    assert float(rows[0]["readable_share"]) > 0.9


def test_flow_keeps_rejected_answers_with_their_reasons(small_run: run.Run) -> None:
    directory = small_run.stage_dir("sample")
    with (directory / "rejected.csv").open(encoding="utf-8") as stream:
        rejected = list(csv.DictReader(stream))
    with (directory / "EMBEDDED_sft_training_data.csv").open(encoding="utf-8") as stream:
        kept = list(csv.DictReader(stream))
    record = json.loads((directory / "selection.json").read_text(encoding="utf-8"))
    assert len(kept) == record["kept"]
    assert len(kept) + len(rejected) == record["answers"] == 60 * 8
    assert all(row["reason"] for row in rejected)
    assert all(float(row["skill"]) >= small_run.config.sampling.min_skill for row in kept)
    chat = Chat.of(load_tokenizer(base_location(small_run.config.model)), [])
    drawn = [json.loads(row["tokens"]) for row in kept]  # what fine-tuning was taught
    assert [chat.read(tokens) for tokens in drawn] == [row["completion"] for row in kept]
    assert all(tokens[-1] in chat.ends for tokens in drawn)


def test_flow_writes_a_log_and_an_offline_report(small_run: run.Run) -> None:
    assert "grpo-second" in (small_run.directory / "pipeline.log").read_text(encoding="utf-8")
    page = (small_run.directory / "report.html").read_text(encoding="utf-8")
    assert "Recipe: <strong>small</strong>" in page and "The recipe small learns nothing" in page
    assert 'src="http' not in page


def test_flow_registers_its_model_and_says_why_it_is_not_champion(small_run: run.Run) -> None:
    registry = Registry(small_run.config.models_dir)
    (entry,) = registry.entries()
    assert entry.run == str(small_run.directory)
    assert entry.verdict is not None
    measured = read_comparison(small_run.stage_dir("compare")).row("grpo_2nd").calibrated_coverage
    assert measured is not None
    kept = calibration_of(entry, small_run.config.data.horizon)
    assert kept is not None
    assert kept.coverage == measured  # what `forecast` says of its bands
    trial = read_trial(small_run)
    assert trial is not None
    assert (trial.model, trial.decision.outcome) == (entry.id, "too little data")  # 500 days are few
    assert registry.champion(entry.key) is None


def test_stage_that_is_done_is_not_run_again(small_run: run.Run) -> None:
    before = read_manifest(small_run.stage_dir("sft")).finished
    small_run.execute("sft", lambda *_: pytest.fail("trained again"))
    assert read_manifest(small_run.stage_dir("sft")).finished == before


def test_terminal_shows_one_table_and_warnings_above_it(small_run: run.Run, watched: Terminal) -> None:
    lines, text = watched.screen.lines, watched.screen.text
    titles = [step.title for step in small_run.graph.values()]
    table = [line for line in lines if line.startswith((*titles, "Whole run"))]
    assert [line.split(" done ")[0].rstrip() for line in table] == [*titles, "Whole run"]
    first, last = lines.index(table[0]), lines.index(table[-1])
    assert lines[first : last + 1] == table
    assert max(map(len, table)) <= 80 - MARGIN
    warned = "warm-up: waiting for accelerator "
    assert 0 < text.index(warned) < 80 * first
    assert text.count("changes that)") == 1  # how the warning ends
    assert "{" not in text
    assert not watched.screen.screen.cursor.hidden
    assert re.search(r"\d (s|min) left", watched.recorded.decode())
    assert re.fullmatch(r"\d+ min \d+ s", lines[-1])


def test_flow_fails_with_a_nonzero_code_and_a_remedy(run_flow: RunFlow, tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    bars.mkdir()
    (bars / "AAPL.csv").write_text("Date,Open,High,Low,Close,Volume\n", encoding="utf-8")
    done = run_flow(["--stock", "NOPE", "--data-dir", str(bars), "--results-dir", str(tmp_path / "r")], tmp_path)
    assert done.returncode != 0
    assert "NOPE" in done.stdout
    assert not (tmp_path / "r").exists()


def test_dry_run_gives_all_settings_as_json_alone_and_leaves_nothing(run_flow: RunFlow, tmp_path: Path) -> None:
    options = ["--recipe", "small", "--results-dir", str(tmp_path / "r")]
    done = run_flow([*options, "--dry-run", "--json"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == load_config("small", {"results_dir": str(tmp_path / "r")}).model_dump(mode="json")
    assert not (tmp_path / "r").exists()
