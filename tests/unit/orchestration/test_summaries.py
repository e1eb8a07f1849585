"""What the artifacts of a run say in Prefect's UI."""

import base64
import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from stonk_pipeline.commands.form import RunForm
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.recipes import load_config, recipe_files
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import StageError
from stonk_pipeline.pipeline.run import Run
from tasks import results, summaries


@pytest.fixture(params=["small", "direction"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A run with a verdict and a picture."""
    made = write_run(tmp_path / "results" / "A*PL_1", load_config(request.param))
    directory = made.stage_dir("compare")
    sentence = "Evidence of skill: on 9 [test](x) windows <b>, +1% | *so*."
    verdict = {"model": "m", "finding": "evidence of skill", "sentence": sentence, "skill": 1.0, "low": 1, "high": 1}
    picture = directory / made.contract.picture[0]
    picture.parent.mkdir(parents=True)
    (directory / "verdict.json").write_text(json.dumps(verdict | {"warnings": ["It repeats itself."]}))
    (directory / "comparison.json").write_text('{"alarm": "Too good."}')
    Image.effect_noise((2144, 1000), 60).convert("RGBA").save(picture)
    return made


def test_report_card_says_the_most_important_and_where_the_rest_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run.directory / "report.html"
    monkeypatch.delenv(results.OFFERED, raising=False)
    heading, sentence, alarm, warning, link, words, picture = summaries.report_card(run, report).split("\n\n")
    assert heading == "## Evidence of skill"
    assert sentence == r"On 9 \[test\](x) windows \<b\>, +1% \| \*so\*."
    assert (alarm, warning) == ("⚠ Too good.", "⚠ It repeats itself.")
    assert link == f"The report: `{report}`"
    assert words == run.contract.picture[1]
    begin, _, data = picture.partition("(data:image/png;base64,")
    with Image.open(BytesIO(base64.b64decode(data.rstrip(")")))) as small:
        assert (small.format, small.width) == ("PNG", summaries.PICTURE_WIDTH)
    assert begin.startswith("![")
    monkeypatch.setenv(results.OFFERED, str(run.directory.parent))
    assert "[Open the report](/results/A%2APL_1/report.html)" in summaries.report_card(run, report)


def test_report_card_does_without_a_picture_and_not_without_a_verdict(run: Run) -> None:
    directory = run.stage_dir("compare")
    (directory / run.contract.picture[0]).unlink()
    assert "data:" not in summaries.report_card(run, run.directory / "report.html")
    (directory / "verdict.json").write_text("{}")
    with pytest.raises(StageError, match="run the comparison again"):
        summaries.report_card(run, run.directory / "report.html")


@pytest.mark.parametrize("recipe", recipe_files())
def test_settings_table_has_every_setting_once_and_as_the_form_takes_it(recipe: str) -> None:
    config = load_config(recipe)
    rows = [line.strip("| ").split(" | ") for line in summaries.settings(config).splitlines() if "`" in line]
    assert rows.pop(0)[0].startswith(f"Recipe `{recipe}`. ")
    asked = RunForm[PipelineConfig if isinstance(config, PipelineConfig) else DirectionConfig]
    own = {"`contract`", "`run_dir`", "`recipe`"}
    lines = [f"{name.strip('`')}={value}" for name, value, *_ in rows if name not in own]
    assert (
        asked.model_validate({"overrides": "\n".join(lines)}).settings.model_copy(update={"recipe": recipe}) == config
    )
    changed = [row for row in rows if len(row) == 3]
    assert all(value != default for _, value, default in changed)
    assert len({row[0] for row in rows}) == len(rows)
