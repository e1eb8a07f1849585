"""Registration, comparison with the champion and forecasting for real, on the tiny model; a person asked in Prefect."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stonk_pipeline.contracts.forecast.steps import STEPS
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.records.forward_log import read
from stonk_pipeline.registry.contest import read_trial
from stonk_pipeline.registry.store import Registry

pytestmark = pytest.mark.timeout(2400)  # two short runs of the pipeline
ROOT = Path(__file__).parents[2]
SHORT = {
    "data.train_share": 0.5,
    "grpo_first.steps": 1,
    "grpo_first.save_steps": 1,
    "grpo_first.validation_windows": 8,
    "grpo_second.steps": 1,
    "grpo_second.save_steps": 1,
    "grpo_second.validation_windows": 8,
    "sampling.engine": "transformers",
    "sampling.windows": 30,
    "sampling.min_skill": -2,
    "comparison.windows": 120,
}


def command(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-m", "stonk_pipeline", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two runs on the same data whose last trainings differ; the second has the stages before it from the first."""
    root = tmp_path_factory.mktemp("registry")
    first = ["--run-dir", str(root / "first")]
    changes = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
    begin = ["--recipe", "small", "--models-dir", str(root / "models"), *changes]
    command("preprocess", *first, *begin)
    for step in list(STEPS)[1:]:
        command(step, *first)
    shutil.copytree(root / "first", root / "second")
    second = ["--run-dir", str(root / "second")]
    command("grpo-second", *second, "--set", "grpo_second.learning_rate=0.003")
    command("compare", *second)
    return open_run(root / "first"), open_run(root / "second")


@pytest.mark.long
def test_models_are_registered_compared_refused_promoted_and_asked(runs: tuple[Run, Run]) -> None:
    first, second = runs
    registry = Registry(first.config.models_dir)
    where = ["--models-dir", str(first.config.models_dir)]

    said = command("models", "register", "--run-dir", str(first.directory))
    trial = read_trial(first)
    assert trial is not None
    assert trial.decision.outcome == "refused", said  # after one step it cannot forecast
    assert "does not beat persistence beyond luck" in said
    assert trial.decision.first_date is not None
    assert trial.decision.first_date > registry.find(trial.model).seen_until
    command("models", "promote", trial.model, "--force", "the first one", *where)

    said = command("models", "register", "--run-dir", str(second.directory))
    challenge = read_trial(second)
    assert challenge is not None
    assert challenge.champion == trial.model
    assert challenge.decision.over_champion is not None, said  # the champion was really asked
    assert challenge.decision.outcome == "refused"
    assert challenge.decision.trial == 2
    assert registry.champions(trial.key).current == trial.model
    command("models", "register", "--run-dir", str(second.directory))  # a retry is no third trial
    assert len(registry.trials(trial.key)) == 2

    command("models", "promote", challenge.model, "--force", "to go back from", *where)
    assert f"{trial.model} is champion" in command("models", "rollback", *where)

    forecasts = first.directory.parent / "forecasts"
    options = ["--stock", "SIM01", "--samples", "8", "--forecasts-dir", str(forecasts)]
    command("forecast", *where, *options, "--page")
    (entry,) = read(forecasts)
    assert entry.model == trial.model
    assert entry.late  # the generated market lies in the past
    assert len(entry.targets) == len(entry.quantiles[0]) == 10
    stem = f"SIM01_{entry.last_bar}_{trial.model}"
    assert {path.name for path in forecasts.iterdir()} >= {f"{stem}.json", f"{stem}.csv", f"{stem}.png", "log.jsonl"}
    content = json.loads((forecasts / f"{stem}.json").read_text(encoding="utf-8"))
    assert len(content["samples"]) == 8
    page = (forecasts / "index.html").read_text(encoding="utf-8")
    assert "In the model's own words" in page and entry.digest[:16] in page
    assert "1 entries, unbroken, 1 of them late" in command("verify", "--forecasts-dir", str(forecasts))


@pytest.mark.long
def test_forecast_flow_logs_once_however_often_it_runs(runs: tuple[Run, Run], tmp_path: Path) -> None:
    from prefect.testing.utilities import prefect_test_harness

    from flows.forecast_flow import forecast_flow
    from stonk_pipeline.contracts.forecast.live.request import ForecastRequest

    registry = Registry(runs[0].config.models_dir)
    registry.promote(registry.register(runs[0]), "forced", "to be asked")
    request = ForecastRequest(
        stocks=["SIM01", "SIM02"],
        models_dir=str(runs[0].config.models_dir),
        forecasts_dir=str(tmp_path / "forecasts"),
        samples=4,
    )
    with prefect_test_harness(server_startup_timeout=120):
        forecast_flow(request)
        forecast_flow(request)
    assert [entry.stock for entry in read(tmp_path / "forecasts")] == ["SIM01", "SIM02"]


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked_before_a_promotion(answer: bool) -> None:
    from prefect import flow, get_client
    from prefect.flow_runs import resume_flow_run
    from prefect.testing.utilities import prefect_test_harness

    from tasks.promotion import ask_person

    @flow
    def asking() -> bool:
        return ask_person("Promoted: it won.", "abc", None)

    def reply() -> None:
        with get_client(sync_client=True) as client:
            for _ in range(240):
                for run in client.read_flow_runs():
                    if run.state is not None and run.state.is_paused():
                        resume_flow_run(run.id, run_input={"promote": answer})
                        return
                time.sleep(0.5)

    with prefect_test_harness(server_startup_timeout=120):
        thread = threading.Thread(target=reply)
        thread.start()
        assert asking() is answer
        thread.join()
