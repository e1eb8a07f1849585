"""The Retry button of the Prefect UI, pressed in a real browser.

.venv/bin/python -m pytest tests/integration/test_browser.py --pictures docs/pictures
"""

import time
from pathlib import Path

import pytest

from stonk_pipeline.contracts.forecast.steps import STEPS
from tests import browser
from tests.served import Served

COMMAND = browser.chromium()


@pytest.mark.skipif(COMMAND is None, reason="no browser: chromium is not installed")
def test_retry_button_completes_a_failed_run(
    served: Served, undisturbed: tuple[str, dict[str, str]], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    run, _ = undisturbed
    pictures = Path(pytestconfig.getoption("--pictures") or tmp_path / "pictures")
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
    with browser.page(str(COMMAND), tmp_path) as page:
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
