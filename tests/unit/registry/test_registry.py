"""The registry: what an entry holds, promotion with its trials, rollback, pruning, damage, and the command line."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from preprocessing import reading
from stonk_pipeline.cli import main
from stonk_pipeline.contracts.forecast import contest as contests
from stonk_pipeline.contracts.forecast.live.forecaster import calibration_of
from stonk_pipeline.contracts.forecast.sections import GRPOStage
from stonk_pipeline.contracts.recipes import load_config, make_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import RegistryError, StageError
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.records.forward_log import LOG
from stonk_pipeline.records.heads import LogHead
from stonk_pipeline.registry import champions, entries
from stonk_pipeline.registry.contest import contest, read_trial
from stonk_pipeline.registry.promotion import Decision
from stonk_pipeline.registry.store import Registry, strategies_tried
from stonk_pipeline.registry.trials import TRIALS
from stonk_pipeline.runs.manifest import Stage, execute, json_digest, read_manifest
from stonk_pipeline.schema import Forecast
from tests.sealing import seal

REFUSED = Decision(
    outcome="refused",
    sentence="x",
    trial=1,
    level=0.01,
    over_persistence=None,
    over_champion=None,
    windows=1,
    dates=1,
    blocks=1.0,
    first_date=None,
    last_date=None,
)


def trained_run(root: Path, name: str, talent: float, kind: str = "predictable", **data) -> Run:
    """A run with a dataset and an adapter that says how much its model sees of what can be known."""
    settings = {
        "data": {"market": {"tickers": 2, "days": 1200, "kind": kind}, "train_share": 0.2} | data,
        "model": {"max_seq_length": 320},
        "comparison": {"windows": 800, "resamples": 200},
        "models_dir": str(root / "models"),
    }
    run = write_run(root / name, load_config("default", settings))
    run.execute("preprocess", lambda *_: None)

    def train(config, inputs, out, progress):
        (out / "adapter").mkdir()
        (out / "adapter" / "adapter_config.json").write_text(json.dumps({"r": 8, "talent": talent, "name": name}))
        return {"steps": 1}

    stage = Stage("grpo", GRPOStage, train)
    inputs = {"dataset": run.stage_dir("preprocess")}
    execute(stage, run.config.grpo_stage("second"), inputs, run.stage_dir("grpo-second"))
    return run


@pytest.fixture
def answering(monkeypatch):
    """Models answer as talented as their adapter says; negative talent is a random opinion of that size."""

    def answers(stage, asked, adapter, run, progress):
        about = json.loads((adapter / "adapter_config.json").read_text())
        best = reading.read_best_possible(answering.run.stage_dir("preprocess")) or {}
        rng = np.random.default_rng(zlib.crc32(about["name"].encode()))
        found = []
        for window in asked.windows:
            flat = np.full(len(asked.targets[0].values), window.last)
            if about["talent"] >= 0:
                value = flat + about["talent"] * (np.array(best.get(window.key, flat)) - flat)
            else:
                value = flat * (1 + about["talent"] * rng.normal() / 100)
            found.append([Forecast(tuple(value))])
        return found

    monkeypatch.setattr(contests, "_answers", answers)
    return answering


def challenge(registry, run, answering):
    answering.run = run
    entry = registry.register(run)
    before = registry.champions(entry.key).current
    decision = contest(registry, entry, run, lambda *_: None)
    if decision.promote:
        registry.promote(entry, "test", decision.sentence, instead_of=before)
    return entry, decision


def test_register_writes_down_what_the_model_is(tmp_path):
    run = trained_run(tmp_path, "a", 0.5)
    registry = Registry(run.config.models_dir)
    entry = registry.register(run)
    windows, train = reading.read_split(run.stage_dir("preprocess"), "train")
    _, val = reading.read_split(run.stage_dir("preprocess"), "val")
    assert entry.key == "stonk-tiny/EMBEDDED"
    assert entry.train_first == min(window.date for window in windows)
    assert entry.train_last == max(target.end for target in train)
    assert entry.seen_until == max(target.end for target in val) > entry.train_last
    assert entry.stocks == ["SIM01", "SIM02"]
    assert entry.verdict is None
    assert make_config(entry.config, source="entry") == run.config
    assert registry.adapter(entry).joinpath("adapter_config.json").is_file()
    assert registry.find(entry.id[:4]) == entry
    assert registry.known_keys() == [entry.key]


def test_seal_of_an_entry_without_calibration_is_that_of_earlier_versions(tmp_path):
    run = trained_run(tmp_path, "a", 0.5)
    entry = Registry(run.config.models_dir).register(run)
    before = {name: value for name, value in entry.model_dump(mode="json").items() if name not in ("seal", "kept")}
    assert entry.seal == json_digest(before)
    more = entry.model_copy(update={"kept": {"calibration": {}}})
    assert more.sealed().seal != entry.seal


@pytest.mark.parametrize(
    ("calibration", "why"),
    [({}, "its calibration cannot be read"), ({"radii": {"0.5": [1.0]}}, "is not for 10 days ahead")],
)
def test_a_calibration_that_does_not_fit_the_model_is_refused(tmp_path, calibration, why):
    run = trained_run(tmp_path, "a", 0.5)
    whole = {"radii": {}, "coverage": {}, "windows": 1, "tested": 1, "until": "2024-01-02"}
    kept = {"calibration": whole | calibration if calibration else calibration}
    entry = Registry(run.config.models_dir).register(run).model_copy(update={"kept": kept})
    with pytest.raises(RegistryError, match=why):
        calibration_of(entry, 10)


def test_register_registers_the_same_training_once(tmp_path):
    run = trained_run(tmp_path, "a", 0.5)
    registry = Registry(run.config.models_dir)
    assert registry.register(run) == registry.register(run)
    assert len(registry.entries()) == 1
    assert registry.register(trained_run(tmp_path, "b", 0.5)).id != registry.entries()[0].id


def test_register_refuses_a_training_on_other_data(tmp_path):
    run = trained_run(tmp_path, "a", 0.5)
    changed = write_run(run.directory, run.config.model_copy(update={"seed": 5}))
    (run.stage_dir("preprocess") / "manifest.json").unlink()
    with pytest.raises(StageError, match="not finished"):
        Registry(tmp_path / "models").register(changed)


def test_register_takes_the_verdict_of_its_own_comparison_alone(tmp_path):
    run = trained_run(tmp_path, "a", 0.5)
    out, training = run.stage_dir("compare"), run.stage_dir("grpo-second")
    verdict = {"model": "grpo_2nd", "finding": "no evidence of skill", "sentence": "No.", "skill": 0.01}
    verdict |= {"low": -0.1, "high": 0.1, "dates": 30, "blocks": 9.0, "confidence": 0.95}
    out.mkdir()
    (out / "verdict.json").write_text(json.dumps(verdict))
    seal(out, run.config.comparison_stage(), {"dataset": run.stage_dir("preprocess"), "grpo_2nd": training})
    assert entries.describe(run).verdict.finding == "no evidence of skill"
    (out / "verdict.json").write_text(json.dumps(verdict | {"finding": "evidence of skill"}))
    with pytest.raises(StageError, match=r"verdict\.json: changed since the stage finished; run stage"):
        Registry(tmp_path / "models").register(run)
    assert not (tmp_path / "models").exists()
    seal(out, inputs=read_manifest(out).inputs | {"dataset": "0" * 64})
    with pytest.raises(StageError, match=r"not a comparison of what lies in .*preprocessing"):
        Registry(tmp_path / "models").register(run)
    seal(out, inputs={"grpo_2nd": "0" * 64})
    assert entries.describe(run).verdict is None


def test_contest_counts_the_knowledge_cutoff_as_seen(tmp_path, answering):
    run = trained_run(tmp_path, "a", 0.9)
    model = run.config.model.model_copy(update={"knowledge_cutoff": "2030-01-01"})
    run = write_run(run.directory, run.config.model_copy(update={"model": model}))
    _, decision = challenge(Registry(tmp_path / "models"), run, answering)
    assert decision.outcome == "too little data"
    assert decision.dates == 0


def test_better_challenger_is_promoted_and_worse_is_refused(tmp_path, answering):
    registry = Registry(tmp_path / "models")
    first, decision = challenge(registry, trained_run(tmp_path, "a", 0.5), answering)
    assert decision.promote, decision.sentence
    assert decision.first_date > first.seen_until
    worse, decision = challenge(registry, trained_run(tmp_path, "b", 0.2), answering)
    assert decision.outcome == "refused"
    assert registry.champion(first.key).id == first.id
    better_run = trained_run(tmp_path, "c", 1.0)
    better, decision = challenge(registry, better_run, answering)
    assert decision.promote, decision.sentence
    assert decision.trial == 2
    assert registry.champion(first.key).id == better.id
    assert read_trial(better_run).champion == first.id
    assert registry.trials_since_promotion(first.key) == 0
    assert [trial["challenger"] for trial in registry.trials(first.key)] == [first.id, worse.id, better.id]
    assert strategies_tried(better_run, "2000") == 0
    assert strategies_tried(better_run, "9999") == 3


def test_lucky_challengers_are_refused_and_each_raises_the_bar(tmp_path, answering):
    registry, levels = Registry(tmp_path / "models"), []
    for number in range(6):
        run = trained_run(tmp_path, f"try-{number}", -0.3, kind="random_walk")
        _, decision = challenge(registry, run, answering)
        assert decision.outcome == "refused"
        levels.append(decision.level)
    assert levels == [pytest.approx(0.025 / (k * (k + 1))) for k in range(1, 7)]
    assert registry.champion("stonk-tiny/EMBEDDED") is None


def test_same_contest_again_is_no_second_trial(tmp_path, answering):
    registry, run = Registry(tmp_path / "models"), trained_run(tmp_path, "a", 0.0)
    _, first = challenge(registry, run, answering)
    _, again = challenge(registry, run, answering)
    assert first == again
    assert len(registry.trials("stonk-tiny/EMBEDDED")) == 1


def test_contest_shows_the_champion_windows_of_its_own_shape(tmp_path, answering):
    registry = Registry(tmp_path / "models")
    challenge(registry, trained_run(tmp_path, "a", 0.5, window=20), answering)
    _, decision = challenge(registry, trained_run(tmp_path, "b", 0.9), answering)
    assert decision.over_champion is not None
    assert decision.promote, decision.sentence
    with pytest.raises(RegistryError, match="forecasts 10 closes and this run 5"):
        challenge(registry, trained_run(tmp_path, "c", 0.9, horizon=5), answering)


def test_rollback_leads_back_and_no_further(tmp_path):
    registry = Registry(tmp_path / "models", tmp_path / "forecasts")
    first, second = (registry.register(trained_run(tmp_path, name, 0.5)) for name in ("a", "b"))
    with pytest.raises(RegistryError, match="no champion before this one"):
        registry.rollback(first.key, "x")
    registry.promote(first, "forced", "first")
    (tmp_path / "forecasts").mkdir()
    (tmp_path / "forecasts" / LOG).write_text(json.dumps({"digest": "0" * 64}) + "\n")
    registry.promote(second, "forced", "second")
    assert registry.rollback(first.key, "it was bad").current == first.id
    history = registry.champions(first.key).history
    assert [change.how for change in history] == ["forced", "forced", "rollback"]
    seen = LogHead(log="../../../../forecasts/log.jsonl", length=1, head="0" * 64)
    assert [change.forward for change in history] == [None, seen, seen]
    with pytest.raises(RegistryError, match="no champion before this one"):
        registry.rollback(first.key, "x")


def test_promote_refuses_a_model_that_was_compared_with_another_champion(tmp_path):
    registry = Registry(tmp_path / "models")
    first, second = (registry.register(trained_run(tmp_path, name, 0.5)) for name in ("a", "b"))
    registry.promote(first, "forced", "first")
    with pytest.raises(RegistryError, match="compared with no champion"):
        registry.promote(second, "test", "won", instead_of=None)


def test_trials_count_though_the_clock_went_back(tmp_path, monkeypatch):
    registry = Registry(tmp_path / "models")
    first, second = (registry.register(trained_run(tmp_path, name, 0.5)) for name in "ab")
    registry.promote(first, "test", "x")
    times = iter(f"2020-01-0{day}T00:00:00.000000+00:00" for day in range(1, 9))
    monkeypatch.setattr(entries, "now", lambda: next(times))
    for _ in range(3):
        registry.record_trial(first.key, {"challenger": second.id, "champion": first.id}, REFUSED)
    assert registry.trials_since_promotion(first.key) == 3
    registry.promote(second, "test", "x", instead_of=first.id)
    assert registry.trials_since_promotion(first.key) == 0
    stamps = [trial["stamp"] for trial in registry.trials(first.key)]
    stamps += [change.stamp for change in registry.champions(first.key).history[1:]]
    assert stamps == sorted(set(stamps))
    assert registry.champions(first.key).history[0].stamp < stamps[0]


@pytest.fixture
def tried(tmp_path):
    """A registry with four comparisons of one key, and the file that has them."""
    registry, directory = Registry(tmp_path / "models"), tmp_path / "models" / "registry" / "tiny" / "AAPL"
    for number in range(4):
        registry.record_trial("tiny/AAPL", {"challenger": f"m{number}", "champion": None}, REFUSED)
    return registry, directory / TRIALS


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines[1:], "line 1: does not follow the line before it"),
        (lambda lines: [lines[0], *lines[2:]], "line 2: does not follow the line before it"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1: does not follow the line before it"),
        (lambda lines: [lines[0].replace("m0", "mX"), *lines[1:]], "line 2: does not follow the line before it"),
        (lambda lines: [*lines[:3], lines[3].replace("m3", "mX")], "line 4: not as it was recorded, says .*champion"),
        (lambda lines: lines[:3], "3 comparisons, and there were 4, says .*champion.json; put back the file"),
        (lambda lines: None, "0 comparisons, and there were 4, says .*champion.json; put back the file"),
        (lambda lines: [lines[0].replace("challenger", "model"), *lines[1:]], "line 1: no stamp, challenger or"),
        (lambda lines: [lines[0].replace("outcome", "end"), *lines[1:]], "line 1: no decision"),
    ],
)
def test_trials_that_are_not_as_they_were_recorded_are_named(tried, change, told):
    registry, path = tried
    assert registry.trials_since_promotion("tiny/AAPL") == 4
    lines = change(path.read_text().splitlines(keepends=True))
    path.unlink() if lines is None else path.write_text("".join(lines))
    with pytest.raises(RegistryError, match=told):
        registry.trials_since_promotion("tiny/AAPL")


def test_trials_are_there_after_a_writer_that_was_killed_before_it_counted_them(tried):
    registry, path = tried
    before = champions.read(path.parent)
    registry.record_trial("tiny/AAPL", {"challenger": "m4", "champion": None}, REFUSED)
    champions.write(path.parent, before)
    assert registry.trials_since_promotion("tiny/AAPL") == 5


def test_entry_that_was_changed_is_named_and_shown_nowhere(tmp_path, capsys):
    registry = Registry(tmp_path / "models")
    entry = registry.register(trained_run(tmp_path, "a", 0.5))
    path, where = registry.entry_dir(entry) / "entry.json", ["--models-dir", str(tmp_path / "models")]
    for changes in ({"seen_until": "2000-01-01"}, {"seal": ""}, {"data": {}}, {"pruned": ""}):
        path.write_text(json.dumps(entry.model_dump(mode="json") | changes))
        assert main(["models", "list", *where]) == 1
        said = capsys.readouterr().err
        assert any(words in said for words in ("data has no stocks", "changed since the model was", "damaged (pruned"))
        assert str(path) in said
    path.write_text(entry.model_dump_json())
    registry.prune(entry.key, keep=0)
    assert registry.find(entry.id).pruned is not None


def test_promote_refuses_a_model_that_was_pruned_meanwhile(tmp_path):
    registry = Registry(tmp_path / "models")
    entry = registry.register(trained_run(tmp_path, "a", 0.5))
    registry.prune(entry.key, keep=0)
    with pytest.raises(RegistryError, match="was pruned"):
        registry.promote(entry, "forced", "x")
    assert registry.champion(entry.key) is None


def test_prune_spares_the_champion_the_one_before_and_the_latest(tmp_path):
    registry = Registry(tmp_path / "models")
    made = [registry.register(trained_run(tmp_path, name, 0.5)) for name in "abcde"]
    for entry in made[:3]:
        registry.promote(entry, "forced", "x")
    assert [entry.id for entry in registry.prune(made[0].key, keep=1, dry_run=True)] == [made[0].id, made[3].id]
    registry.prune(made[0].key, keep=1)
    there = [entry.id for entry in registry.entries() if entry.pruned is None]
    assert there == [made[1].id, made[2].id, made[4].id]
    assert len(registry.entries()) == 5
    with pytest.raises(RegistryError, match="was pruned"):
        registry.adapter(registry.find(made[0].id))
    registry.rollback(made[0].key, "x")
    with pytest.raises(RegistryError, match="was pruned"):
        registry.rollback(made[0].key, "x")
    assert registry.champion(made[0].key).id == made[1].id


def test_adapter_that_was_changed_is_not_used(tmp_path):
    run = trained_run(tmp_path, "a", 0.5)
    registry = Registry(tmp_path / "models")
    entry = registry.register(run)
    path = registry.entry_dir(entry) / "adapter" / "adapter_config.json"
    path.chmod(0o644)
    path.write_text("{}")
    with pytest.raises(RegistryError, match=r"adapter_config\.json: not as it was registered"):
        registry.promote(entry, "forced", "x")


def test_models_command_lists_shows_promotes_and_rolls_back(tmp_path, capsys):
    registry = Registry(tmp_path / "models")
    where = ["--models-dir", str(tmp_path / "models")]
    assert main(["models", "list", *where]) == 0
    assert "no models in" in capsys.readouterr().out
    first, second = (registry.register(trained_run(tmp_path, name, 0.5)) for name in ("a", "b"))
    assert main(["models", "promote", first.id, "--force", "tried by hand", *where]) == 0
    assert main(["models", "promote", second.id[:6], "--force", "better", *where]) == 0
    assert main(["models", "list", *where]) == 0
    listed = capsys.readouterr().out
    assert "champion before" in listed
    assert second.id in listed
    assert main(["models", "show", first.id[:6], *where]) == 0
    assert "tried by hand" in capsys.readouterr().out
    assert main(["models", "show", first.id, "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == first.id
    assert main(["models", "rollback", *where]) == 0
    assert f"{first.id} is champion of stonk-tiny/EMBEDDED again" in capsys.readouterr().out
    assert main(["models", "prune", "--keep", "0", *where]) == 0
    assert f"{second.id}, registered" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nope"], "no model begins with 'nope'"),
        (["promote", "nope"], "no model begins with 'nope'"),
        (["rollback"], "name the models with --key"),
        (["rollback", "--key", "x/y"], "no models of 'x/y'"),
        (["prune"], "it has none yet"),
    ],
)
def test_models_command_says_what_is_wrong(tmp_path, capsys, arguments, message):
    assert main(["models", *arguments, "--models-dir", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
