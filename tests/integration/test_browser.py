"""Prefect's UI in a real browser: the short form, the report behind its artifact, and the Retry button.

.venv/bin/python -m pytest tests/integration/test_browser.py --pictures docs/pictures
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stonk_pipeline.contracts.forecast.steps import STEPS
from stonk_pipeline.pipeline.compared import DIRECTORY, Verdict
from tests import browser
from tests.served import Served

COMMAND = browser.chromium()
pytestmark = pytest.mark.skipif(COMMAND is None, reason="no browser: chromium is not installed")
Undisturbed = tuple[str, dict[str, str]]
FORM_PIXELS = 2500
"""Height of a form that a person overlooks; that with every setting had 17,700."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.page(str(COMMAND), tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def pictures(tmp_path: Path, pytestconfig: pytest.Config) -> Path:
    return Path(pytestconfig.getoption("--pictures") or tmp_path / "pictures")


NOTE_REFUSALS = """
window.refused = [];
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (...given) {
    this.addEventListener("loadend", () => {
        if (!this.status || this.status >= 400) window.refused.push([this.status, this.responseURL, this.response]);
    });
    return send.apply(this, given);
};
"""


def filled_in(page: browser.Page, form: str) -> None:
    """Opens the form of a run and asks for a recipe, with a setting that contradicts it: such a run ends at once."""
    page.open(form)
    page.wait("document.body.innerText.includes('Advanced') && document.querySelector('select option[value=small]')")
    page.ask(NOTE_REFUSALS + "true")
    recipe = "document.querySelector('select:has(option[value=small])')"
    page.choose(recipe, "qwen-1.5b")
    page.wait(f"{recipe}.value === 'qwen-1.5b'")
    text = "[...document.querySelectorAll('textarea')].find((one) => one.value.includes('results_dir='))"
    page.write(text, "\nsampling.max_tokens=2048")


def test_form_is_short_and_a_recipe_chosen_in_it_is_what_runs(served: Served, page: browser.Page) -> None:
    site = served.url.removesuffix("/api")
    tall = {"width": 1400, "height": 1800, "deviceScaleFactor": 1, "mobile": False}
    page.send("Emulation.setDeviceMetricsOverride", **tall)  # so that all of it is seen at once
    form = f"{site}/deployments/deployment/{served.deployment()['id']}/run"
    filled_in(page, form)
    assert page.ask("Math.max(...[...document.querySelectorAll('*')].map((one) => one.scrollHeight))") < FORM_PIXELS
    labels = page.ask("[...document.querySelectorAll('label')].map((one) => one.innerText.split(' (')[0])")
    short = ["Recipe", "Stocks", "Data folder", "Model", "Folds", "Seed", "Promotion", "Overrides", "Advanced"]
    assert [label for label in labels if label not in ("Run Name", "config", "Validate parameters")] == short
    before, until = made(served), time.monotonic() + 120
    while not (new := made(served) - before):
        page.press("Submit")
        with suppress(AssertionError):
            page.wait("document.body.innerText.includes('View run')", 15)
            continue
        refused = page.ask("window.refused")  # where the server was too busy: once more, on a new page
        assert time.monotonic() < until, (refused, page.ask("document.body.innerText"))
        filled_in(page, form)
    page.send("Emulation.clearDeviceMetricsOverride")
    run = new.pop()
    own = served.deployment()["parameters"]["config"]
    given = served.api.get(f"/flow_runs/{run}").json()["parameters"]["config"]
    assert given["recipe"] == "qwen-1.5b" != own["recipe"]
    assert given["overrides"] == own["overrides"] + "\nsampling.max_tokens=2048"
    assert served.wait(run) == "FAILED"
    message = served.api.get(f"/flow_runs/{run}").json()["state"]["message"]
    assert "model.max_seq_length (2048) must exceed the longest answer (2048 tokens)" in message


@pytest.mark.parametrize("name", ["ingest/ingest", "retrain/retrain", "forecast/forecast", "direction/direction"])
def test_form_accepts_the_values_that_it_is_filled_with(served: Served, page: browser.Page, name: str) -> None:
    identity = served.deployment(name)["id"]
    page.open(f"{served.url.removesuffix('/api')}/deployments/deployment/{identity}/edit")
    page.wait("[...document.querySelectorAll('button')].some((one) => one.innerText === 'Save')")
    page.wait("document.querySelectorAll('label').length > 5")
    wrong = page.ask(
        "[...document.querySelectorAll('input')].filter((one) => !one.checkValidity()).map((one) => one.value)"
    )
    assert wrong == []


def made(served: Served) -> set[str]:
    """Flow runs of the training's deployment."""
    of_training = {"deployments": {"id": {"any_": [served.deployment()["id"]]}}}
    return {run["id"] for run in served.post("/flow_runs/filter", of_training)}


def test_artifact_has_verdict_and_picture_and_opens_the_report(
    served: Served, undisturbed: Undisturbed, page: browser.Page, pictures: Path
) -> None:
    run, _ = undisturbed
    site, directory = served.url.removesuffix("/api"), served.directory(run)
    verdict = Verdict.model_validate_json((directory / DIRECTORY / "verdict.json").read_text(encoding="utf-8"))
    of_run = {"artifacts": {"key": {"any_": ["report", "settings"]}}, "flow_runs": {"id": {"any_": [run]}}}
    artifacts = {one["key"]: one for one in served.post("/artifacts/filter", of_run)}
    recipe = Path(served.deployment()["parameters"]["config"]["recipe"]).name
    assert artifacts["settings"]["data"].startswith(f"Recipe `{recipe}`. ")
    page.open(f"{site}/artifacts/artifact/{artifacts['report']['id']}")
    page.wait("document.querySelector('main img, .markdown-renderer__image')?.naturalWidth > 500")
    page.picture(pictures / "report-artifact.png")
    assert verdict.finding.capitalize() in page.ask("document.body.innerText")
    with page.opened("Open the report") as report:
        report.wait(
            f"location.href === '{site}/results/{directory.name}/report.html' && document.readyState === 'complete'"
        )
        assert report.ask("document.querySelector('h1').innerText") == verdict.finding.capitalize()
        assert report.ask("getComputedStyle(document.querySelector('.verdict')).borderTopWidth") == "6px"  # its styles
        assert report.ask("document.querySelectorAll('svg').length") > 5
        assert report.ask("origin") == "null"  # it is no page of the API's origin
        assert report.ask("fetch('/api/health').then(() => 'read', () => 'refused')") == "refused"
        report.open(f"{site}/results/")
        report.picture(pictures / "runs.png")
        assert directory.name in report.ask("document.body.innerText")
        report.press("Report")  # a link between two pages that are kept apart from each other, too
        report.wait("location.href.endsWith('/report.html') && Boolean(document.querySelector('h1'))")


def test_retry_button_completes_a_failed_run(
    served: Served, undisturbed: Undisturbed, page: browser.Page, pictures: Path, pytestconfig: pytest.Config
) -> None:
    run, _ = undisturbed
    stage = served.directory(run) / STEPS["compare"].directory
    saved = stage.with_name("saved")
    stage.rename(saved)
    stage.write_text("in the way of the stage's directory")
    served.retry(run)
    assert served.wait(run) == "FAILED"
    stage.unlink()
    saved.rename(stage)
    (stage / "manifest.json").unlink()  # so that there is something to do
    before = len(served.tasks(run))
    site = served.url.removesuffix("/api")
    page.open(f"{site}/runs/flow-run/{run}")
    page.wait("document.body.innerText.includes('Failed')")
    page.wait("document.body.innerText.includes('Beginning flow run')")  # its log
    time.sleep(3.0 if pytestconfig.getoption("--pictures") else 0.0)  # the graph draws itself after all else
    page.picture(pictures / "run-failed.png")
    page.press("Retry")
    page.wait(
        "document.body.innerText.includes('Retry from the UI') || document.querySelector('[role=dialog], dialog')"
    )
    page.picture(pictures / "run-retry.png")
    page.press("Retry")
    assert served.wait(run, "SCHEDULED", "PENDING", "RUNNING", "COMPLETED", seconds=60)
    page.send("Page.navigate", url="about:blank")  # drawing the run's graph takes a processor from the run
    assert served.wait(run) == "COMPLETED"
    page.open(f"{site}/runs/flow-run/{run}")
    page.wait("document.body.innerText.includes('Completed')")
    page.picture(pictures / "run-completed.png")
    page.open(f"{site}/deployments")
    page.wait("document.body.innerText.includes('train')")
    page.picture(pictures / "deployments.png")
    states = dict(served.tasks(run)[before:])
    assert states.pop("report") == "Completed"
    assert states.pop("compare") == "Completed"
    assert set(states.values()) == {"Cached"}
