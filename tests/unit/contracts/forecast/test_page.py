"""The page, rendered from a run whose training logs and answers are made up and whose data and scores are real."""

import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from preprocessing.dataset import preprocess
from preprocessing.reading import dates_ahead, read_best_possible, read_histories, read_split, spread
from stonk_pipeline.commands.report import write_report
from stonk_pipeline.config.data import DataConfig, MarketConfig
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.direction.page.pictures import learned
from stonk_pipeline.contracts.forecast.page.first import headline_of
from stonk_pipeline.contracts.forecast.page.looks import label
from stonk_pipeline.contracts.forecast.page.pictures import write_pictures
from stonk_pipeline.contracts.forecast.page.runs import read_runs, remarks
from stonk_pipeline.contracts.forecast.page.trainings import grpo_pictures
from stonk_pipeline.contracts.forecast.question import answer, parse
from stonk_pipeline.contracts.forecast.scores.compare import compare
from stonk_pipeline.contracts.forecast.scores.results import read_comparison, write_comparison
from stonk_pipeline.contracts.forecast.scores.summary import show as show_scores
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.runs import require_comparison
from stonk_pipeline.errors import StageError
from stonk_pipeline.report.charts import percents
from stonk_pipeline.report.frame import duration, number
from stonk_pipeline.report.style import DARK, LIGHT, percent, svg
from stonk_pipeline.report.training import Curve, draw_curves, kept
from stonk_pipeline.runs.manifest import MANIFEST, read_manifest
from stonk_pipeline.schema import Forecast, Unreadable
from tests.sealing import seal

MODELS = {"base": 0.0, "grpo_1st": 0.45, "sft": 0.65, "grpo_2nd": 0.9}
NASTY = "<script>alert('x')</script> & <img src=http://example.com/x.png>"


def write_run(root: Path, *, tickers: int = 3, days: int = 500, windows: int = 60, strength: float = 1.0) -> Path:
    """A run directory as the pipeline leaves it. `strength` 0: the models have learned nothing."""
    config = PipelineConfig(
        data=DataConfig(market=MarketConfig(tickers=tickers, days=days)),
        comparison=ComparisonConfig(windows=windows, resamples=200),
    )
    data = root / "preprocessing"
    data.mkdir(parents=True)
    preprocess(config.preprocess_stage(), {}, data, lambda *_: None)
    root.joinpath("config.json").write_text(config.model_dump_json())
    _write_comparison(root, config, strength)
    _write_trainings(root)
    seal(data, config.preprocess_stage(), seconds=12.3)
    for stage in ("stage1_grpo_training", "sft_data_generation"):
        seal(root / stage, seconds=92.3)
    needs = {"dataset": data, "grpo_1st": root / "stage1_grpo_training"}
    seal(root / "model_comparison", config.comparison_stage(), needs, seconds=252.3)
    return root


def _write_comparison(root: Path, config: PipelineConfig, strength: float) -> None:
    rng = np.random.default_rng(0)
    data, out = root / "preprocessing", root / "model_comparison"
    test = spread(*read_split(data, "test"), config.comparison.windows, 0)
    best = read_best_possible(data)
    answers = {}
    (out / "forecasts").mkdir(parents=True)
    for name, weight in MODELS.items():
        rows, given = [], []
        for window in test[0]:
            samples = []
            for sample in range(4):
                aim = 100 + strength * weight * (np.array(best[window.key]) - 100)
                noise = window.volatility * (1 - 0.8 * weight) * rng.normal(size=10).cumsum()
                nasty = len(given) % 3 == 0
                words = (
                    NASTY if nasty else "Momentum is strong, but the last close is far above its average of 20 days."
                )
                text = answer(words, tuple(aim + noise), 2) if rng.random() > 0.04 else "up, surely"
                read = parse(text, 10)
                values = list(read.values) if hasattr(read, "values") else None
                rows.append((*window.key, sample, text, getattr(read, "reason", None), values))
                samples.append(read)
            given.append(samples)
        answers[name] = given
        columns = ["stock", "date", "sample", "completion", "reason", "values"]
        pd.DataFrame(rows, columns=columns).to_parquet(out / "forecasts" / f"{name}.parquet")
    frame = pd.DataFrame(
        [(*w.key, list(w.context), list(t.values), w.price_offset, w.price_unit) for w, t in zip(*test, strict=True)],
        columns=["stock", "date", "context", "target", "price_offset", "price_unit"],
    )
    frame.to_parquet(out / "windows.parquet")
    histories = read_histories(data)
    ahead = [dates_ahead(window, histories[window.stock], 10) for window in test[0]]
    others = {"drift": np.full((len(ahead), 10), 100.2)}
    write_comparison(compare(*test, answers, others, best, config.comparison, 0, ahead=ahead), out)


def test_a_training_log_without_entropy_has_all_panels_but_that_one():
    """Unsloth's trainer says nothing about it on CUDA."""
    names = ("step", "reward", "entropy", "completion_length")
    log = pd.DataFrame(dict(zip(names, ([1, 2, 3], [0.1, 0.2, 0.3], [np.nan] * 3, [37.0] * 3), strict=True)))
    assert len(grpo_pictures("one", "grpo_1st", log, None)) == 1 == len(learned("stage_one", log, None))
    log["entropy"] = 0.7
    assert len(grpo_pictures("one", "grpo_1st", log, None)) == 2 == len(learned("stage_one", log, None))


def _write_trainings(root: Path) -> None:
    rng = np.random.default_rng(1)
    for stage in ("stage1_grpo_training", "stage3_grpo_from_sft"):
        steps = np.arange(1, 121)
        rise = 1 - np.exp(-steps / 40)
        log = pd.DataFrame({"step": steps, "reward": 0.3 * rise + rng.normal(0, 0.05, 120), "reward_std": 0.2})
        for part, size in (("skill", 0.25), ("direction", 0.05), ("trading", 0.03), ("form", 0.1)):
            log[f"reward_{part}"] = size * rise + rng.normal(0, 0.2 * size, 120)
            log[f"spread_{part}"] = size * (1 - 0.5 * rise) + rng.normal(0, 0.05 * size, 120)
        log["zero_spread_share"] = 0.02
        log["entropy"] = 2 - rise + rng.normal(0, 0.03, 120)
        log["completion_length"] = 90 + rng.normal(0, 2, 120)
        log["straight_share"], log["up_share"], log["readable_share"] = 0.01 + 0.1 * rise, 0.5, 0.9 + 0.09 * rise
        log["learning_rate"], log["seconds"] = 1e-4, 1.1
        (root / stage).mkdir()
        log.to_csv(root / stage / "training_log.csv", index=False)
        validation = pd.DataFrame({"step": [0, 40, 80, 120], "skill_median": [-0.02, 0.06, 0.11, 0.10]})
        validation["skill_single"] = validation["skill_median"] - 0.2
        validation["readable_share"], validation["kept"] = 0.97, [False, False, True, False]
        validation.to_csv(root / stage / "validation.csv", index=False)
    (root / "stage2_sft_training").mkdir()
    losses = pd.DataFrame({"step": range(10, 130, 10), "loss": np.linspace(1.4, 0.9, 12)})
    losses["val_loss"] = losses["loss"].where(losses["step"] % 40 == 0) + 0.05
    losses["perplexity"], losses["val_perplexity"] = np.exp(losses["loss"]), np.exp(losses["val_loss"])
    losses["tokens_per_second"] = 4321.0
    losses.to_csv(root / "stage2_sft_training" / "training_log.csv", index=False)
    (root / "sft_data_generation").mkdir()
    record = {
        "windows": 2000,
        "answers": 16000,
        "kept": 1230,
        "acceptance_share": 0.077,
        "mean_skill_kept": 0.31,
        "reasons": {
            "too little skill": 13000,
            "not the best of its window": 1500,
            "wrong length": 200,
            "repeated": 70,
        },
        "engine": "vllm",
        "kept_by_stock": {f"T{i}": 100 + i for i in range(12)},
    }
    (root / "sft_data_generation" / "selection.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = write_run(tmp_path_factory.mktemp("results") / "ALL_20250102_030405")
    write_report(root)
    return root


class Page(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def page(root: Path) -> tuple[str, Page]:
    text = (root / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_write_report_needs_no_network(run):
    text, parsed = page(run)
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "iframe", "object", "embed")
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster"):
            link = attributes.get(name) or "#"
            assert link.startswith(("#", "data:")), (tag, link)
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []
    assert len(text.encode()) < 5_000_000


def test_write_report_escapes_what_models_wrote(run):
    text, parsed = page(run)
    assert "&lt;script&gt;alert(" in text
    assert "<script" not in text
    assert not [tag for tag, _ in parsed.tags if tag == "img"]


def test_write_report_gives_every_picture_a_text_and_every_id_once(run):
    text, parsed = page(run)
    pictures = [attributes for tag, attributes in parsed.tags if attributes.get("role") == "img"]
    assert len(pictures) > 20
    assert all(len(attributes["aria-label"] or "") > 20 for attributes in pictures)
    assert text.count("<figure") == len(pictures)
    for tag, attributes in parsed.tags:
        if tag == "svg":
            assert attributes["aria-hidden"] == "true"
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link[1:] for _, attributes in parsed.tags if (link := attributes.get("href") or "").startswith("#")}
    assert targets <= set(ids)


def test_write_report_has_headings_in_order(run):
    _, parsed = page(run)
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_write_report_shows_the_comparisons_numbers(run):
    text, _ = page(run)
    comparison = read_comparison(run / "model_comparison")
    said = comparison.verdict.sentence.split(": ", 1)[1]
    assert said[1:].replace("'", "&#39;") in text
    assert f"<h1>{headline_of(comparison.verdict)[0]}</h1>" in text
    for row in comparison.rows:
        assert percent(row.skill, 1, sign=True) in text


def first_screen(root: Path) -> tuple[str, str]:
    """The class of the first screen's box, and its words."""
    text = (root / "report.html").read_text(encoding="utf-8")
    box, rest = re.search(r'<section id="verdict" class="verdict (\w+)">(.*?)</section>', text, re.DOTALL).groups()
    return box, " ".join(re.sub(r"<[^>]+>", " ", rest).split()).replace(" ,", ",").replace(" .", ".")


def test_the_first_screen_says_what_was_tested_on_and_what_to_do_next(run):
    _, shown = first_screen(run)
    comparison = read_comparison(run / "model_comparison")
    row = comparison.row("grpo_2nd")
    begun = "Tested on a generated market, not real prices: 3 stocks (SIM01, SIM02, SIM03), 60 windows on"
    assert shown.startswith(begun) and f"{row.dates} dates" in shown
    best = comparison.verdict.best_baseline
    assert f"Best numeric baseline {label(best.name)}" in shown and "chosen with hindsight" in shown
    held = row.calibrated_coverage or row.coverage
    level = "0.9" if "0.9" in held else "0.8"
    assert f"Its {100 * float(level):g}% band held {percent(held[level], 0)}" in shown
    assert shown.count("./run_pipeline.sh") == 3


def test_the_first_screen_is_not_green_where_a_numeric_baseline_is_better(run, tmp_path):
    root = Path(shutil.copytree(run, tmp_path / "run"))
    path = root / "model_comparison" / "comparison.json"
    record = json.loads(path.read_text())
    better = {
        "name": "ridge",
        "skill": 0.3,
        "low": 0.2,
        "high": 0.4,
        "gain": -0.1,
        "gain_low": -0.2,
        "gain_high": -0.05,
    }
    record["verdict"] |= {"finding": "evidence of skill", "best_baseline": better | {"addition": "is worse than it"}}
    path.write_text(json.dumps(record))
    config = json.loads((root / "config.json").read_text()) | {"recipe": "small"}
    config["grpo_first"]["steps"] = config["grpo_second"]["steps"] = 4
    (root / "config.json").write_text(json.dumps(config))
    seal(path.parent)
    write_report(root)
    box, shown = first_screen(root)
    assert (box, "Evidence of skill, but worse than ridge regression" in shown) == ("bad", True)
    assert "Recipe: small." in shown and "The recipe small learns nothing" in shown
    console = Console(file=StringIO(), width=400)
    show_scores(path.parent, console)
    said = console.file.getvalue()
    for words in ("tested on a generated market", "recipe small", "is worse than it", "learns nothing", "% band held"):
        assert words in said
    assert "too few dates" in said and "too few dates" in shown  # 60 windows of 500 days are some two blocks


def test_ticks_of_a_picture_in_the_page_keep_their_decimals():
    """Cut to two, 0.025 read as 0.02 and ticks at even distances as uneven ones."""
    log = pd.DataFrame({"step": [1, 2, 3], "reward": [0.0, 0.025, 0.05], "kept": [True, True, False]})
    drawn = svg(draw_curves(log, [Curve("reward", "reward", "last")]), 350, 236, "x")
    ticks = [float(text) for text in re.findall(r">(0\.\d+)<", drawn)]
    gaps = {round(later - earlier, 6) for earlier, later in itertools.pairwise(ticks)}
    assert len(ticks) > 3 and len(gaps) == 1
    assert {"1", "2", "3"} == set(re.findall(r">(\d(?:\.\d)?)<", drawn))  # steps are whole
    assert kept(log)["step"].tolist() == [2]  # the adapter of step 1 was replaced


def test_percents_have_the_decimals_that_their_ticks_need():
    from matplotlib.figure import Figure

    for top in (0.05, 0.011, 1.0, 0.14):
        axes = Figure().subplots()
        axes.set_ylim(0, top)
        percents(axes.yaxis)
        labels = [axes.yaxis.get_major_formatter()(tick) for tick in axes.get_yticks()]
        assert [float(label.rstrip("%")) / 100 for label in labels] == pytest.approx(axes.get_yticks())


def test_write_report_draws_in_colours_that_follow_the_scheme(run):
    text, _ = page(run)
    pictures = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "var(--last)" in pictures
    stray = set(re.findall(r"#[0-9a-f]{6}\b", pictures))
    assert stray == set()


def test_write_report_does_with_a_comparison_alone(run, tmp_path):
    out = tmp_path / "bare" / "model_comparison"
    out.mkdir(parents=True)
    out.joinpath("comparison.json").write_bytes((run / "model_comparison" / "comparison.json").read_bytes())
    seal(out)
    text = write_report(tmp_path / "bare").read_text(encoding="utf-8")
    assert "Everyone on the same windows" in text
    assert 'id="training"' not in text
    assert 'id="forecasts"' not in text
    assert write_report(tmp_path / "bare").read_text(encoding="utf-8") == text


def test_write_report_names_what_is_missing_or_damaged(tmp_path):
    with pytest.raises(StageError, match="run this stage again"):
        write_report(tmp_path)
    (tmp_path / "model_comparison").mkdir()
    (tmp_path / "model_comparison" / "comparison.json").write_text("{")
    seal(tmp_path / "model_comparison")
    with pytest.raises(StageError, match="not JSON"):
        write_report(tmp_path)


def test_write_report_draws_a_model_that_cannot_answer_or_is_absurd(run, tmp_path):
    root = tmp_path / "mute"
    for stage in ("preprocessing", "model_comparison"):
        shutil.copytree(run / stage, root / stage)
    out = root / "model_comparison"
    data = root / "preprocessing"
    windows, targets = read_split(data, "test")
    mute = [[Unreadable("no answer")] * 2 for _ in windows]
    wild = [[Forecast((1e9,) * 10)] * 2 for _ in windows]
    config = ComparisonConfig(resamples=100)
    write_comparison(compare(windows, targets, {"base": wild, "grpo_2nd": mute}, {}, None, config, 0), out)
    rows = [(*window.key, sample, "<b>up", "no thinking", None) for window in windows for sample in range(2)]
    columns = ["stock", "date", "sample", "completion", "reason", "values"]
    pd.DataFrame(rows, columns=columns).to_parquet(out / "forecasts" / "grpo_2nd.parquet")
    frame = [(*w.key, w.context, t.values, w.price_offset, w.price_unit) for w, t in zip(windows, targets, strict=True)]
    columns = ["stock", "date", "context", "target", "price_offset", "price_unit"]
    pd.DataFrame(frame, columns=columns).to_parquet(out / "windows.parquet")
    seal(out)
    text = write_report(root).read_text(encoding="utf-8")
    assert "could not be read" in text
    assert "&lt;b&gt;up" in text
    assert "Not a forecast: no thinking" in text
    (out / "windows.parquet").write_bytes(b"PAR1")
    seal(out)
    with pytest.raises(StageError, match="damaged"):
        write_report(root)


def edited(root):
    path = root / "model_comparison" / "comparison.json"
    path.write_text(re.sub(r'"finding": *"[^"]+"', '"finding": "evidence of skill"', path.read_text(), count=1))


def struck_out(root):
    path = root / "model_comparison" / MANIFEST
    manifest = read_manifest(path.parent)
    del manifest.outputs["windows.parquet"]
    path.write_text(manifest.model_dump_json())
    (root / "model_comparison" / "windows.parquet").unlink()


def broken_seal(root):
    path = root / "model_comparison" / MANIFEST
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))


def another_runs_dataset(root):
    (root / "preprocessing" / "dataset.json").write_text("{}")
    seal(root / "preprocessing")


def resealed_by_hand(root):
    path = root / "stage1_grpo_training" / MANIFEST
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))


REFUSED = {
    edited: "comparison.json: changed since the stage finished; run stage 'model_comparison' again",
    struck_out: "manifest.json: changed since the stage ended; run stage 'model_comparison' again",
    broken_seal: "manifest.json: changed since the stage ended; run stage 'model_comparison' again",
    another_runs_dataset: "not a comparison of what lies in .*preprocessing .*; run the comparison again",
    resealed_by_hand: "stage1_grpo_training/manifest.json: changed since the stage ended",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("small") / "run", tickers=1, days=400, windows=20, strength=0.0)


@pytest.mark.parametrize("change", REFUSED)
def test_reports_refuse_a_comparison_that_is_not_this_runs_own(small, tmp_path, change):
    root = Path(shutil.copytree(small, tmp_path / "run"))
    assert read_runs([root])[0].remark == ""
    change(root)
    for show in (write_report, lambda root: read_runs([root])):
        with pytest.raises(StageError, match=REFUSED[change]):
            show(root)
    assert not (root / "report.html").exists()


def test_reports_say_that_settings_changed_since(small, tmp_path):
    root = Path(shutil.copytree(small, tmp_path / "run"))
    path = root / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 7}))
    said = "was made on 2025-01-02 with other settings than the run has now"
    assert said in write_report(root).read_text()
    assert [said in remark for remark in remarks(read_runs([root]))] == [True]
    path.unlink()
    assert "config.json is missing" in require_comparison(root)
    path.write_text('{"data": {"horizon": 0}, "model": {}}')
    assert "cannot be read any more" in require_comparison(root)


def test_write_pictures_writes_png_files(run, tmp_path):
    paths = write_pictures(read_comparison(run / "model_comparison"), tmp_path)
    assert [path.name for path in paths] == ["skill.png", "skill_by_day.png", "skill_through_time.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_palette_has_enough_contrast(palette):
    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(palette[one]), luminance(palette[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for ground in ("paper", "card"):
        for text in ("ink", "muted", "accent", "alarm"):
            assert contrast(text, ground) >= 4.5
        for line in (
            "base",
            "first",
            "middle",
            "last",
            "baseline",
            "best_possible",
            *(f"part_{i}" for i in range(1, 5)),
        ):
            assert contrast(line, ground) >= 3.0
    assert len(set(palette.values())) == len(palette)
    assert LIGHT.keys() == DARK.keys()


def test_percent_has_a_true_minus_sign_and_no_negative_zero():
    assert percent(-0.0512, sign=True) == "−5.1%"
    assert percent(0.0512, sign=True) == "+5.1%"
    assert percent(-0.0001, sign=True) == "0.0%"
    assert percent(-123.4, 0) == "< −999%"
    assert percent(None) == "—"


def test_number_and_duration_read_well():
    assert [number(value) for value in (1234, 2.4681, 0.04567, None)] == ["1,234", "2.47", "0.0457", "—"]
    assert [duration(value) for value in (3.21, 75, 3661, None)] == ["3.21 s", "1 min 15 s", "1 h 1 min", "—"]


def test_write_report_of_weekly_bars_speaks_of_weeks_alone(run, tmp_path):
    root = shutil.copytree(run, tmp_path / "WEEKS_20250102_030405")
    path = root / "model_comparison" / "comparison.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"period": "week"}))
    seal(path.parent)
    write_report(root)
    text, parsed = page(root)
    shown = " ".join(
        re.findall(r">([^<]+)<", re.sub(r"(?s)<(style|svg|pre|code|table|blockquote)\b.*?</\1>", "", text))
    )
    labels = " ".join(attributes["aria-label"] or "" for _, attributes in parsed.tags if "aria-label" in attributes)
    assert "Over the next 10 weeks" in shown and "by week ahead" in labels
    assert "weeks ahead" in text and "days ahead" not in text and "a day<" not in text
    own = "far above its average of 20 days"  # a model's words
    assert not re.findall(r"\b(?:trading days?|days|daily)\b", (shown + labels).replace(own, ""))
