"""Controls take away what they say and nothing else, and the page of runs says what they gained."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from preprocessing import reading
from preprocessing.dataset import STAGE
from stonk_pipeline.cli import main
from stonk_pipeline.config.data import DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.contracts.forecast.page.runs import read_runs, remarks
from stonk_pipeline.contracts.forecast.rewards import Outcome, at_random
from stonk_pipeline.contracts.forecast.scores.compare import compare
from stonk_pipeline.contracts.forecast.scores.results import write_comparison
from stonk_pipeline.contracts.forecast.selection import judge
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.errors import ConfigError, StageError
from stonk_pipeline.runs import manifest
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window
from tests.sealing import seal

CONTROLS = {
    "control-random-reward": "random reward",
    "control-form-only": "form alone",
    "control-shuffled-targets": "shuffled targets",
    "control-no-indicators": "stale indicators",
}


@pytest.mark.parametrize("recipe", CONTROLS)
def test_control_recipe_is_the_default_but_for_what_it_takes_away(recipe):
    control, plain = load_config(recipe), load_config("default")
    assert (control.control, plain.control) == (CONTROLS[recipe], None)
    changed = {name for name, value in control.model_dump().items() if value != plain.model_dump()[name]}
    assert changed - {"recipe"} <= {"grpo_first", "grpo_second", "sampling", "data", "prompt"}
    assert control.grpo_first.steps == plain.grpo_first.steps
    assert control.comparison == plain.comparison


def test_load_config_refuses_a_base_that_leads_back(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"base: {path}\n")
    with pytest.raises(ConfigError, match="leads back to itself"):
        load_config(str(path))
    path.write_text("base: no-such\n")
    with pytest.raises(ConfigError, match="no recipe 'no-such'"):
        load_config(str(path))


def test_at_random_knows_nothing_and_keeps_its_word():
    rng = np.random.default_rng(0)
    truth = Outcome(100.0, (101.0, 102.0), 1.0, 0.0)
    answers = [Forecast(tuple(rng.normal(100, 1, 2))) for _ in range(4000)]
    values = np.array([at_random(answer, truth) for answer in answers])
    errors = np.array([abs(np.array(answer.values) - truth.values).mean() for answer in answers])
    assert np.abs(values).max() <= 1
    assert abs(values.mean()) < 0.03
    assert values.std() == pytest.approx(1 / np.sqrt(3), abs=0.02)
    assert abs(np.corrcoef(values, errors)[0, 1]) < 0.05
    assert at_random(answers[0], truth) == values[0]
    assert at_random(Unreadable("no answer"), truth) == -1.0


def test_judge_by_chance_keeps_readable_answers_whatever_their_skill():
    window = Window("A", "2024-01-02", (99.0, 100.0), {}, {}, 1.0, 0.0, 1.0)
    answers = [[Forecast((101.0,)), Forecast((50.0,)), Forecast((60.0,)), Unreadable("no answer")]] * 200
    texts = [["a", "b", "c", "d"]] * 200
    options = {"min_skill": 0.1, "keep_per_window": 1}
    judged = judge([window] * 200, [Target("", "", (101.0,))] * 200, texts, answers, **options, chance=random.Random(0))
    kept = [candidate.completion for candidate in judged if not candidate.reason]
    assert len(kept) == 200
    assert {text: kept.count(text) > 40 for text in "abc"} == dict.fromkeys("abc", True)
    best = judge([window] * 200, [Target("", "", (101.0,))] * 200, texts, answers, **options)
    assert {candidate.completion for candidate in best if not candidate.reason} == {"a"}


def test_shuffled_targets_leave_nothing_to_learn_and_touch_training_alone(tmp_path):
    parts = {}
    for name, shuffle in (("plain", False), ("shuffled", True)):
        data = DataConfig(market=MarketConfig(tickers=1, days=700), shuffle_targets=shuffle)
        manifest.execute(STAGE, PreprocessStage(data=data, seed=0), {}, tmp_path / name)
        parts[name] = {split: reading.read_split(tmp_path / name, split) for split in ("train", "val", "test")}
    for split in ("val", "test"):
        assert parts["plain"][split] == parts["shuffled"][split]
    windows, plain = parts["plain"]["train"]
    same, shuffled = parts["shuffled"]["train"]
    assert windows == same
    moves = [
        np.array([(np.array(t.values) - w.last) / w.volatility for w, t in zip(windows, targets, strict=True)])
        for targets in (plain, shuffled)
    ]
    assert not np.allclose(moves[0], moves[1])
    np.testing.assert_allclose(np.sort(moves[0][:, -1]), np.sort(moves[1][:, -1]), atol=1e-4)


def test_stale_windows_show_the_indicators_of_an_earlier_day_and_change_nothing_else(tmp_path):
    parts = {}
    for name, count in (("plain", 0), ("stale", 60)):
        data = DataConfig(market=MarketConfig(tickers=1, days=700), stale_windows=count)
        manifest.execute(STAGE, PreprocessStage(data=data, seed=0), {}, tmp_path / name)
        parts[name] = reading.read_split(tmp_path / name, "full")
    plain, stale = parts["plain"][0], parts["stale"][0]
    assert len(stale) == len(plain) - 60
    assert parts["stale"][1] == parts["plain"][1][60:]
    for place, window in enumerate(stale):
        own, earlier = plain[place + 60], plain[place]
        assert repr(window) == repr(replace(own, indicators=earlier.indicators, statistics=earlier.statistics))


def compared(directory, recipe, weight):
    """A directory of a compared run whose final model has `weight` of the skill that can be had."""
    config = load_config(recipe, {"results_dir": str(directory.parent)})
    rng = np.random.default_rng(0)
    windows, targets, answers = [], [], {"base": [], "grpo_2nd": []}
    for day in range(150):
        date = str(np.datetime64("2023-01-02") + day)
        slope = rng.choice([-1.0, 1.0])
        windows.append(Window("A", date, (99.0, 100.0), {}, {}, 1.0, 0.0, 1.0))
        targets.append(Target(date, date, tuple(100 + slope * np.array([1.0, 2.0]) + rng.normal(0, 1, 2))))
        answers["base"].append([Forecast(tuple(100 + rng.normal(0, 1, 2)))])
        answers["grpo_2nd"].append([Forecast(tuple(100 + weight * slope * np.array([1.0, 2.0])))])
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(config.model_dump_json())
    comparison = compare(windows, targets, answers, {}, None, config.comparison, 0)
    write_comparison(comparison, directory / "model_comparison")
    seal(directory / "model_comparison", config.comparison_stage())
    return directory


def test_runs_page_says_whether_a_control_gained_as_much(tmp_path, capsys):
    real = compared(tmp_path / "real", "default", 0.8)
    idle = compared(tmp_path / "idle", "control-random-reward", 0.0)
    lucky = compared(tmp_path / "lucky", "control-form-only", 0.9)
    found = read_runs([idle, lucky, real])
    assert [run.name for run in found] == ["real", "lucky", "idle"]
    assert ["gained as much" in text for text in remarks(found)] == [True, False]
    assert remarks(found[1:]) == []
    assert main(["runs", str(real), str(idle), "--out", str(tmp_path / "out" / "runs.html")]) == 0
    page = (tmp_path / "out" / "runs.html").read_text()
    assert "2 runs compared" in page
    assert "random reward" in page
    numbers = json.loads((tmp_path / "out" / "runs.json").read_text())
    assert [(row["run"], row["control"]) for row in numbers] == [("real", None), ("idle", "random reward")]
    assert (tmp_path / "out" / "runs.csv").read_text().count("\n") == 3
    assert "grpo_first.random_reward=1.0" in page
    assert "http" not in page.replace("http-equiv", "")
    assert json.loads((real / "model_comparison" / "verdict.json").read_text())["finding"] == "evidence of skill"
    assert capsys.readouterr().out.strip().endswith("runs.html")


def test_runs_leaves_out_what_is_not_finished_and_says_how_to_finish_it(tmp_path, capsys):
    real, stopped = compared(tmp_path / "real", "default", 0.8), tmp_path / "stopped"
    stopped.mkdir()
    (stopped / "config.json").write_text((real / "config.json").read_text())
    out = str(tmp_path / "runs.html")
    assert main(["runs", str(stopped), str(real), "--out", out]) == 0
    said = capsys.readouterr().err
    assert f"{stopped}: left out" in said and f"./run_pipeline.sh --continue {stopped}" in said
    assert "1 run compared" in (tmp_path / "runs.html").read_text()
    assert main(["runs", str(stopped), "--out", out]) == 1
    assert "none of these runs is finished" in capsys.readouterr().err


def test_runs_page_refuses_what_is_no_run(tmp_path):
    with pytest.raises(StageError):
        read_runs([tmp_path])
