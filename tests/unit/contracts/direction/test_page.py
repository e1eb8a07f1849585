"""The page of a direction run, rendered from a run whose logs and answers are made up and whose scores are real."""

import itertools
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.dataset import preprocess
from stonk_pipeline.commands.report import write_report
from stonk_pipeline.config.data import DataConfig, MarketConfig
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.direction.make.stage import run as make_examples
from stonk_pipeline.contracts.direction.page import page
from stonk_pipeline.contracts.direction.page.pictures import confusion
from stonk_pipeline.contracts.direction.question import answer, read_all
from stonk_pipeline.contracts.direction.rewards import COMPONENTS
from stonk_pipeline.contracts.direction.scores.answers import write_answers
from stonk_pipeline.contracts.direction.scores.results import MODELS, read_calls, read_transition, title
from stonk_pipeline.contracts.direction.scores.scores import compare_calls, judge_gate
from stonk_pipeline.contracts.direction.scores.stage import (
    TRAINING_LOG,
    finish,
    finish_gate,
    informative_share,
    read_log,
    some,
)
from stonk_pipeline.contracts.direction.sections import GateConfig
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.errors import StageError
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.style import canvas, percent
from tests.sealing import seal

NASTY = "<script>alert('x')</script> & <img src=http://example.com/x.png>"
SKILL = {"base": 0.5, "stage_one": 0.62, "stage_two": 0.7}
DIRECTORIES = {"stage_one": "stage1_training", "stage_two": "stage2_training"}


def settings(mode: str = "report") -> DirectionConfig:
    return DirectionConfig(
        contract="direction",
        data=DataConfig(market=MarketConfig(tickers=3, days=500)),
        comparison=ComparisonConfig(windows=60, resamples=200),
        gate=GateConfig(mode=mode),
    )


def write_data(root: Path) -> Path:
    """What the first two stages of a run leave."""
    for name in ("preprocessing", "examples"):
        (root / name).mkdir(parents=True)
    preprocess(settings().preprocess_stage(), {}, root / "preprocessing", lambda *_: None)
    make_examples(settings().examples_stage(), {"dataset": root / "preprocessing"}, root / "examples", lambda *_: None)
    return root


def write_run(root: Path, *, mode: str = "report", real: bool = False) -> Path:
    """The rest of a direction run, as the pipeline leaves it; with a strict gate there is no stage II."""
    config = settings(mode)
    (root / "config.json").write_text(config.model_dump_json())
    roles = [role for role in MODELS if role != "stage_two" or mode == "report"]
    for role in roles[1:]:
        write_training(root / DIRECTORIES[role])
    write_gate(root, config, real)
    write_comparison(root, config, roles, real)
    for stage in sorted(path for path in root.iterdir() if path.is_dir() and path.name != "model_comparison"):
        seal(stage, numbers={"go_on": mode == "report"})
    needs = {"examples": root / "examples", "gate": root / "gate"}
    needs |= {role: root / DIRECTORIES[role] for role in roles[1:]}
    seal(root / "model_comparison", config.calls_stage("two"), needs)
    return root


def made_up(examples, right: float, seed: int):
    """Answers that are right about so often; some cannot be read."""
    rng = np.random.default_rng(seed)
    texts = []
    for movement in examples.movements:
        given = []
        for _ in range(4):
            side = "up" if (movement.change > 0) == (rng.random() < right) else "down"
            word = "rise" if side == "up" else "fall"
            thought = f"{NASTY} The last moves were not large, so I expect a {word}."
            text = answer(thought, side, abs(rng.normal(0, 1)), round(rng.uniform(0.5, 0.9), 2))
            given.append(text if rng.random() > 0.05 else f"surely up {NASTY}")
        texts.append(given)
    return texts, read_all(texts)


def write_gate(root: Path, config: DirectionConfig, real: bool) -> None:
    stage = config.calls_stage("one").model_copy(update={"real_data": real})
    examples = some(stage, root / "examples", "val")
    losses = read_log(root / "stage1_training")["loss"].tolist()
    (root / "gate").mkdir()
    record = judge_gate(examples, made_up(examples, 0.6, 3)[1], losses, stage, "stage_one")
    finish_gate(record, stage, root / "gate")


def write_comparison(root: Path, config: DirectionConfig, roles: list[str], real: bool) -> None:
    stage, out = config.calls_stage("two").model_copy(update={"real_data": real}), root / "model_comparison"
    examples, answers = some(stage, root / "examples", "test"), {}
    for seed, role in enumerate(roles):
        texts, answers[role] = made_up(examples, SKILL[role], seed)
        write_answers(out, role, examples, texts, answers[role])
    gate, share = read_transition(root / "gate"), informative_share(root / "examples")
    logs = {role: read_log(root / DIRECTORIES[role]) for role in roles[1:]}
    finish(compare_calls(examples, answers, stage, gate=gate, informative_share=share), out, logs)


def write_training(directory: Path) -> None:
    rng, steps = np.random.default_rng(1), np.arange(1, 61)
    rise = 1 - np.exp(-steps / 20)
    log = pd.DataFrame({"step": steps, "reward": 0.5 * rise + rng.normal(0, 0.05, 60), "reward_std": 0.2})
    for place, name in enumerate(COMPONENTS):
        log[f"reward_{name}"] = (0.2 + 0.1 * place) * rise + rng.normal(0, 0.03, 60)
        log[f"spread_{name}"] = 0.3 - 0.1 * rise
    log["up_share"], log["market_up"] = 0.5 + 0.1 * rise, 0.5 + rng.normal(0, 0.03, 60)
    log["readable_share"], log["zero_spread_share"] = 0.9 + 0.09 * rise, 0.02
    log["entropy"], log["completion_length"], log["loss"] = 2 - rise, 90.0, rng.normal(0, 0.01, 60)
    directory.mkdir()
    log.to_csv(directory / TRAINING_LOG, index=False)
    validation = pd.DataFrame({"step": [0, 30, 60], "reward": [0.1, 0.4, 0.3], "accuracy": [0.5, 0.6, 0.55]})
    validation["readable_share"], validation["up_share"], validation["kept"] = 0.97, 0.5, [False, True, False]
    validation.to_csv(directory / "validation.csv", index=False)


class Page(HTMLParser):
    """Collects the tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "EMBEDDED")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    root = write_run(copied(data, tmp_path_factory.mktemp("results") / "EMBEDDED_20250102_030405"))
    write_report(root)
    return root


def copied(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def page_of(root: Path) -> str:
    return page.render(RunFiles(root), "")


def text_of(root: Path) -> str:
    return (root / "report.html").read_text(encoding="utf-8")


def test_calls_page_needs_no_network_and_escapes_what_models_wrote(run):
    text = text_of(run)
    for tag, attributes in Page(text).tags:
        assert tag not in ("script", "iframe", "object", "embed", "img")
        for name in ("src", "href", "xlink:href", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "&lt;script&gt;alert(" in text
    assert re.findall(r"url\((?!#)", text) == []


def test_calls_page_gives_every_picture_a_text_and_every_id_once(run):
    text = text_of(run)
    tags = Page(text).tags
    pictures = [attributes for tag, attributes in tags if attributes.get("role") == "img"]
    assert len(pictures) == 3 + 2 * 7  # and of each training seven panels
    assert all(len(attributes["aria-label"] or "") > 20 for attributes in pictures)
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {link[1:] for _, attributes in tags if (link := attributes.get("href") or "").startswith("#")}
    assert links <= set(ids)
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawn)) == set()  # colours follow the scheme


def test_calls_page_has_headings_in_order(run):
    levels = [int(tag[1]) for tag, _ in Page(text_of(run)).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_calls_page_shows_the_numbers_of_the_stages(run):
    text, comparison = text_of(run), read_calls(run / "model_comparison")
    assert f"<h1>{comparison.verdict.finding.capitalize()}</h1>" in text
    for row in comparison.rows:
        assert percent(row.accuracy) in text
        assert title(row.name).replace("'", "&#39;") in text
    for check in read_transition(run / "gate").checks:
        assert (
            f"<td>{check.figure:.3f}</td><td>{check.threshold}</td><td>{'yes' if check.passed else 'no'}</td>" in text
        )
    assert {example.kind for example in comparison.examples} == {"good", "bad", "unreadable"}
    assert text.count("What it was asked") == len(comparison.examples) == 9
    assert "surely up &lt;script&gt;" in text  # what could not be read stands there as it was written
    for name in ("Preprocessing", "Examples", "Stage I", "Gate to stage II", "Stage II", "Comparison"):
        assert f'<tr><th scope="row">{name}</th>' in text
    assert "of the headlines tell something of the next day" in text


def test_calls_page_begins_with_what_was_tested_on_and_ends_its_first_screen_with_what_to_do(run):
    shown = " ".join(re.sub(r"<[^>]+>", "", text_of(run).partition('<section id="verdict"')[2]).split())
    comparison = read_calls(run / "model_comparison")
    begun = (
        "Tested on a generated market and its headlines, not real prices: 3 stocks (SIM01, SIM02, SIM03), 60 decisions"
    )
    assert begun in shown[:200]
    first = shown.partition("How to read this page")[0]
    assert title(comparison.verdict.baseline).replace("'", "&#39;") in first
    assert first.count("./run_pipeline.sh") == 3


def test_confusion_is_as_dark_as_its_counts(run):
    """A single decision on the only flat day is not as dark as the most frequent case."""
    model = read_calls(run / "model_comparison").final
    table = {"up": {"up": 30, "down": 10, "coin": 0}, "flat": {"up": 1, "down": 0, "coin": 0}}
    drawn = confusion(model.model_copy(update={"row": model.row.model_copy(update={"confusion": table})}))
    with canvas(drawn.draw, 520, 320) as figure:
        shades = [patch.get_alpha() for patch in figure.axes[0].patches]
    assert shades[0] == max(shades) and shades[3] < shades[1] < shades[0]


def test_calls_page_does_without_stage_two_where_a_strict_gate_stops(data, tmp_path):
    root = write_run(copied(data, tmp_path / "strict"), mode="strict")
    text = page_of(root)
    assert "There is no stage II in this run" in text
    assert read_calls(root / "model_comparison").verdict.model == "stage_one"
    assert "call the direction?" in text
    assert "stage_two" not in re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)


def test_calls_page_puts_an_alarm_on_real_bars_first(data, tmp_path):
    root = write_run(copied(data, tmp_path / "real"), real=True)
    text = page_of(root)
    assert '<section id="verdict" class="verdict bad">' in text
    assert text.index("Leakage alarm") < text.index('id="table"')
    assert "generated" not in re.search(r"How to read this page.*?</section>", text, flags=re.DOTALL).group()


def test_calls_page_does_with_a_comparison_alone(run, tmp_path):
    shutil.copytree(run / "model_comparison", tmp_path / "bare" / "model_comparison")
    text = page_of(tmp_path / "bare")
    assert 'id="training"' not in text
    assert 'id="data"' not in text
    assert "Everyone on the same days" in text
    assert page_of(tmp_path / "bare") == text


def test_calls_page_names_what_is_missing_or_damaged(run, tmp_path):
    with pytest.raises(StageError, match=r"no comparison\.json"):
        page_of(tmp_path)
    shutil.copytree(run, tmp_path / "damaged")
    assert write_report(tmp_path / "damaged").is_file()
    (tmp_path / "damaged" / "gate" / "evaluation.json").write_text("{")
    with pytest.raises(StageError, match="damaged"):
        page_of(tmp_path / "damaged")
    with pytest.raises(StageError, match=r"evaluation\.json: changed since the stage finished"):
        write_report(tmp_path / "damaged")
    (tmp_path / "damaged" / "gate" / "evaluation.json").unlink()
    with pytest.raises(StageError, match="run this stage"):
        page_of(tmp_path / "damaged")


def test_finish_writes_every_picture_as_a_file(run):
    names = {path.stem for path in (run / "model_comparison" / "pictures").iterdir()}
    trainings = ("reward", "components", "spread", "ratio", "shape", "entropy")
    expected = {f"{role}_{part}" for role in ("stage_one", "stage_two") for part in trainings}
    assert names == expected | {"reliability", "confusion", "accuracy_by_month"}
    for path in (run / "model_comparison" / "pictures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
