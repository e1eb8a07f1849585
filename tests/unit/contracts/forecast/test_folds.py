"""Walk-forward: the dates of the folds, the runs below a run, and their windows joined into one comparison."""

import json

import numpy as np
import pandas as pd
import pytest

from preprocessing import reading
from preprocessing.dataset import STAGE as PREPROCESS
from preprocessing.splits import SplitDates, fold_dates
from stonk_pipeline.cli import main
from stonk_pipeline.commands.report import write_report
from stonk_pipeline.config.data import DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.contracts.forecast.scores import evidence, folds
from stonk_pipeline.contracts.forecast.scores.compare import compare
from stonk_pipeline.contracts.forecast.scores.results import read_comparison
from stonk_pipeline.contracts.forecast.scores.stage import finish
from stonk_pipeline.contracts.forecast.sections import ComparisonStage
from stonk_pipeline.contracts.forecast.steps import STEPS as FORECAST
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import open_run, require_comparison, run_at, write_run
from stonk_pipeline.errors import ConfigError, DataError, StageError
from stonk_pipeline.market.bars import generate
from stonk_pipeline.runs.manifest import MANIFEST, Manifest, execute, output_files
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

MARKET = MarketConfig(tickers=2, days=600)
WHOLE = SplitDates(np.datetime64("2024-03-11"), np.datetime64("2024-04-01"))

# Dates


def test_fold_dates_cut_the_test_part_into_consecutive_pieces():
    union = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-05-01"))
    parts = [fold_dates(union, WHOLE, fold, 4) for fold in range(1, 5)]
    tested = [np.arange(part.test_start, part.test_end + 1) for part in parts]
    assert np.concatenate(tested).tolist() == union[union >= WHOLE.test_start].tolist()
    assert {len(days) for days in tested} == {7, 8}
    assert all(part.test_start - part.val_start == np.timedelta64(21) for part in parts)
    assert parts[0].val_start == WHOLE.val_start


def test_fold_dates_refuse_more_folds_than_days():
    union = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-04-03"))
    with pytest.raises(ConfigError, match=r"3 folds need as many days in the test part, which has 2"):
        fold_dates(union, WHOLE, 1, 3)


def preprocess(out, **data):
    execute(PREPROCESS, PreprocessStage(data=DataConfig(market=MARKET, **data), seed=0), {}, out)
    return {part: reading.read_split(out, part) for part in ("train", "val", "test")}


def test_preprocess_of_folds_tests_every_window_at_most_once_after_all_training(tmp_path):
    whole = {window.key for window in preprocess(tmp_path / "whole")["test"][0]}
    seen, trained = [], 0
    for fold in (1, 2, 3):
        parts = preprocess(tmp_path / str(fold), folds=3, fold=fold)
        record = json.loads((tmp_path / str(fold) / "dataset.json").read_text())
        windows, targets = parts["test"]
        assert min(window.date for window in windows) > record["test_start"]
        assert max(target.end for target in targets) == record["test_end"]
        assert max(target.end for target in parts["train"][1]) < record["val_start"]
        assert max(target.end for target in parts["val"][1]) < record["test_start"]
        assert len(parts["train"][0]) > trained
        trained = len(parts["train"][0])
        seen += [window.key for window in windows]
    assert len(seen) == len(set(seen))
    # What is missing crosses one of the two inner borders: a context and a target less one day, for each of two stocks.
    assert set(seen) < whole
    assert len(whole) - len(seen) == 2 * 2 * (10 + 10 - 1)


def test_preprocess_of_a_fold_does_not_see_what_comes_after_it(tmp_path):
    bars = generate(MARKET)
    out = {}
    for name, factor in (("clean", 1.0), ("poisoned", 1.5)):
        directory = tmp_path / name
        directory.mkdir()
        for stock, frame in bars.items():
            late = frame["date"] > "2020-02-24"
            assert late.any()
            prices = frame[["open", "high", "low", "close"]]
            prices = prices.where(~late, prices * factor)
            frame.assign(**prices).to_csv(directory / f"{stock}.csv", index=False)
        data = DataConfig(data_dir=str(directory), folds=3, fold=1)
        files = {stock: directory / f"{stock}.csv" for stock in bars}
        execute(PREPROCESS, PreprocessStage(data=data, seed=0), files, tmp_path / "out" / name)
        out[name] = tmp_path / "out" / name
    assert json.loads((out["clean"] / "dataset.json").read_text())["test_end"] <= "2020-02-24"
    for path in out["clean"].glob("*_*_[xy].csv"):
        if "_full_" not in path.name:
            assert path.read_bytes() == (out["poisoned"] / path.name).read_bytes(), path.name


def test_preprocess_says_that_there_are_too_many_folds(tmp_path):
    with pytest.raises(DataError, match=r"give more history or fewer folds \(this is fold 1 of 40\)"):
        preprocess(tmp_path, folds=40, fold=1)


# Runs


def config_for(tmp_path, **settings):
    return load_config("small", {"models_dir": str(tmp_path / "models")} | settings)


def test_run_without_folds_is_one_run(tmp_path):
    run = run_at(tmp_path, config_for(tmp_path))
    assert run.folds == []
    assert run.steps() == [(run, step) for step in FORECAST]
    assert [run.label(step) for step in FORECAST] == list(FORECAST)


def test_run_of_folds_has_a_run_for_each_and_pools_them(tmp_path):
    run = write_run(tmp_path / "run", config_for(tmp_path, data={"folds": 2}))
    first, last = run.folds
    assert [open_run(fold.directory) for fold in run.folds] == [first, last]
    assert (first.config.data.fold, last.config.data.fold) == (1, 2)
    assert first.folds == []
    labels = [part.label(step) for part, step in run.steps()]
    assert labels == [f"{step}-{fold}" for fold in (1, 2) for step in FORECAST] + ["compare"]
    assert (run.title("compare"), last.title("compare")) == ("Pooled comparison", "Comparison, fold 2")
    assert run.inputs("compare") == {"fold_1": first.stage_dir("compare"), "fold_2": last.stage_dir("compare")}
    assert run.finished("compare") is None
    assert first.config.comparison.windows + last.config.comparison.windows == run.config.comparison.windows
    assert last.models_dir == run.models_dir
    assert first.models_dir.is_relative_to(first.directory)


def test_run_of_folds_refuses_to_pool_what_is_not_compared(tmp_path):
    run = write_run(tmp_path / "run", config_for(tmp_path, data={"folds": 2}))
    with pytest.raises(StageError, match=r"folds/1/model_comparison"):
        run.execute("compare", lambda *_: None)


def test_fold_must_be_one_of_the_folds():
    with pytest.raises(ValueError, match="fold must be one of the folds, 1 to 2"):
        DataConfig(folds=2, fold=3)


def test_command_line_runs_a_step_for_every_fold(tmp_path, capfd):
    directory = tmp_path / "run"
    options = ["--recipe", "small", "--folds", "2", "--models-dir", str(tmp_path / "models")]
    assert main(["preprocess", "--run-dir", str(directory), *options]) == 0
    starts = []
    for fold in open_run(directory).folds:
        result = fold.finished("preprocess")
        assert result is not None
        starts.append(result.numbers["test_start"])
    assert starts == sorted(set(starts))
    assert "Preprocessing, fold 2" in capfd.readouterr().out
    assert not (directory / "preprocessing").exists()


# The pooled comparison


def market(days=120):
    """Windows in the order of time, their targets, the best forecasts, and answers of a base and a final model."""
    rng = np.random.default_rng(0)
    dates = [str(day.date()) for day in pd.bdate_range("2023-01-02", periods=days + 5)]
    windows, targets, best, ahead = [], [], {}, []
    answers = {"base": [], "grpo_2nd": []}
    for place in range(days):
        for stock in ("A", "B"):
            slope = rng.choice([-1.0, 1.0]) * np.arange(1, 6)
            window = Window(stock, dates[place], (99.0, 100.0), {}, {}, 1.0, 0.0, 0.5)
            windows.append(window)
            ahead.append(dates[place + 1 : place + 6])
            targets.append(Target(ahead[-1][0], ahead[-1][-1], tuple(100 + slope + rng.normal(0, 1, 5).cumsum())))
            best[window.key] = tuple(100 + slope)
            for model, weight in (("base", 0.0), ("grpo_2nd", 0.7)):
                given = [Forecast(tuple(100 + weight * slope + rng.normal(0, 1, 5))) for _ in range(3)]
                answers[model].append([*given, Unreadable("no answer")])
    return windows, targets, best, ahead, answers


SETTINGS = load_config("small").comparison_stage()
OTHERS = {"drift": 0.02}


def write_part(out, part, with_intervals=True):
    windows, targets, best, ahead, answers = market()
    out.mkdir(parents=True)
    evidence.write_windows(out, windows[part], targets[part], ahead[part])
    for model, given in answers.items():
        texts = [["text"] * 4 for _ in given[part]]
        evidence.write_answers(out, model, windows[part], texts, given[part])
    others = {name: np.full((len(windows[part]), 5), 100 + move) for name, move in OTHERS.items()}
    evidence.write_baselines(out, windows[part], others, best)
    if with_intervals:
        ends = np.stack([np.full((len(windows[part]), 5), end) for end in (97.0, 103.0)], axis=1)
        evidence.write_intervals(out, windows[part], {"grpo_2nd": {0.8: ends}})
    finish(evidence.read_evidence(out).compare(SETTINGS), out)
    return out


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    root = tmp_path_factory.mktemp("pooled")
    run = write_run(root / "run", load_config("small", {"data": {"folds": 2}, "models_dir": str(root)}))
    for fold, part in zip(run.folds, (slice(0, 120), slice(120, 240)), strict=True):
        out = write_part(fold.stage_dir("compare"), part)
        manifest = {"stage": "model_comparison", "fingerprint": "", "config": {}, "inputs": {}, "numbers": {}}
        manifest |= {"outputs": output_files(out), "digest": str(part), "versions": {}, "git_commit": None}
        whole = Manifest(**manifest, seed=0, seconds=1.0, finished="").sealed()
        (out / MANIFEST).write_text(whole.model_dump_json())
    result = run.execute("compare", lambda *_: None)
    assert run.finished("compare") == result
    return run


def test_evidence_read_back_gives_the_scores_of_what_was_written(tmp_path):
    windows, targets, best, ahead, answers = market()
    others = {name: np.full((len(windows), 5), 100 + move) for name, move in OTHERS.items()}
    expected = compare(windows, targets, answers, others, best, SETTINGS.comparison, 0, 1, ahead=ahead)
    found = evidence.read_evidence(write_part(tmp_path / "out", slice(None), with_intervals=False)).compare(SETTINGS)
    assert found == expected


def test_pooled_comparison_equals_that_of_all_windows_at_once(pooled, tmp_path):
    whole = evidence.read_evidence(write_part(tmp_path / "whole", slice(None))).compare(SETTINGS)
    found = read_comparison(pooled.stage_dir("compare"))
    assert found.rows == whole.rows
    assert found.verdict == whole.verdict
    assert 0 < found.row("grpo_2nd").calibrated_coverage["0.8"] < 1


def test_pooled_comparison_shows_what_each_fold_says_alone(pooled):
    found = read_comparison(pooled.stage_dir("compare")).folds
    assert [fold.fold for fold in found] == [1, 2]
    assert found[0].last_date < found[1].first_date
    for fold, run in zip(found, pooled.folds, strict=True):
        alone = read_comparison(run.stage_dir("compare"))
        assert (fold.skill, fold.low, fold.high) == (alone.verdict.skill, alone.verdict.low, alone.verdict.high)
        assert fold.finding == alone.verdict.finding
    table = pd.read_csv(pooled.stage_dir("compare") / "folds.csv")
    assert table["skill"].tolist() == pytest.approx([fold.skill for fold in found], rel=1e-5)


def test_report_of_folds_shows_them(pooled):
    assert require_comparison(pooled.directory) == ""
    page = write_report(pooled.directory).read_text()
    assert "Trained anew along time" in page
    assert "calibrated" in page
    assert page.count("<h2>") > 4


def test_join_refuses_parts_that_do_not_fit(tmp_path):
    parts = [
        write_part(tmp_path / "1", slice(0, 120)),
        write_part(tmp_path / "2", slice(120, 240), with_intervals=False),
    ]
    with pytest.raises(StageError, match=r"2/intervals\.parquet: missing, though another fold has one"):
        evidence.join(parts, tmp_path)


def test_folds_stage_is_named_as_the_directory_says():
    assert folds.STAGE.name == "model_comparison"
    assert folds.STAGE.config_type is ComparisonStage
