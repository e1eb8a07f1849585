"""Malformed run directories of others, registries and logs."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preprocessing import reading
from stonk_pipeline.contracts.direction.cases import read_examples
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.evaluation.quantiles import LEVELS
from stonk_pipeline.pipeline.places import ENTRY as ENTRY_FILE
from stonk_pipeline.records import forward_log, ingests
from stonk_pipeline.registry import champions, entries
from stonk_pipeline.registry.store import DIRECTORY, Registry
from stonk_pipeline.registry.trials import FIRST
from stonk_pipeline.registry.trials import TRIALS as TRIALS_FILE
from stonk_pipeline.runs.manifest import Manifest, json_digest, verify
from stonk_pipeline.schema import INDICATORS, STATISTICS, X_COLUMNS, Y_COLUMNS
from stonk_pipeline.training import checkpoints

from .cases import NUMBERS, WHOLE, Case, Reader, damaged, of_json, of_lines, printable

CONFIG = load_config("default").model_dump_json()
OUTPUT = b"date,close\n2020-01-02,1.5\n"
MANIFEST = json.dumps({
    "stage": "sft", "fingerprint": "a" * 64, "config": {"rank": 8, "steps": [1, 2]}, "inputs": {"dataset": "b" * 64},
    "outputs": {"log.csv": hashlib.sha256(OUTPUT).hexdigest()}, "digest": "c" * 64, "numbers": {"loss": 1.5,
    "steps": 3},
    "versions": {"torch": "2.9"}, "git_commit": "abc", "code": {"stonk_pipeline/runs/manifest.py": "d" * 16}, "seed": 1,
    "seconds": 1.5, "finished": "2026-01-01T00:00:00Z",
})  # fmt: skip
MANIFEST = Manifest.model_validate_json(MANIFEST).sealed().model_dump_json()
CHAMPION = json.dumps({
    "line": ["0123456789ab", "ba9876543210"],
    "history": [
        {"stamp": "2026-01-01T00:00:00.000000+00:00", "model": name, "how": "test", "reason": "better"}
        for name in ("0123456789ab", "ba9876543210")
    ],
})  # fmt: skip
ENTRY = entries.Entry.model_validate({
    "id": "0123456789ab", "key": "stonk-tiny/AAPL", "registered": "2026-01-01T00:00:00.000000+00:00",
    "run": "results/a",
    "step": "grpo_second", "adapter": {"adapter_model.safetensors": "a" * 64},
    "base_model": "stonk-tiny", "data_digest": "b" * 64, "data": {"stocks": {"AAPL": {"rows": 3}}}, "seed": 1,
    "train_first": "2015-01-05", "train_last": "2018-01-05", "seen_until": "2019-01-04", "config": json.loads(CONFIG),
    "versions": {"torch": "2.9"}, "git_commit": "abc", "verdict": None, "pruned": None,
}).sealed().model_dump_json()  # fmt: skip
SEAL = json.dumps({"adapter_model.safetensors": hashlib.sha256(b"weights").hexdigest()})
INGESTS = [
    json.dumps({
        "time": f"2026-01-{day:02d}T22:00:00+00:00", "source": "folder bars",
        "files": {"AAPL": "a" * 64}, "digest": "b" * 64,
        "changes": [{"symbol": "AAPL", "added": 1, "rows": 500 + day, "last": f"2026-01-{day:02d}", "after": "a" * 64}],
    })
    for day in (5, 6, 7)
]  # fmt: skip
KEY = "stonk-tiny/AAPL"
DECISION = {
    "outcome": "refused", "sentence": "no", "trial": 1, "level": 0.01, "over_persistence": None, "over_champion": None,
    "windows": 9, "dates": 9, "blocks": 3.0, "first_date": None, "last_date": None,
}  # fmt: skip


def _trials() -> list[str]:
    lines, previous = [], FIRST
    for number in (1, 2, 3):
        trial = {"stamp": f"2026-01-0{number}", "challenger": "x", "champion": None, "decision": DECISION}
        lines.append(json.dumps(trial | {"previous": previous}))
        previous = json_digest(json.loads(lines[-1]))
    return lines


def _chain() -> list[str]:
    lines, previous = [], forward_log.GENESIS
    for number in (1, 2, 3):
        content: dict[str, Any] = {
            "stock": "AAPL", "model": "base:stonk-tiny", "adapter_digest": None, "base_model": "stonk-tiny",
            "data_digest": "d" * 64, "last_bar": f"2026-01-0{number}", "last_close": 100.5, "calendar": "XNYS",
            "targets": ["2026-01-08", "2026-01-09"], "first_close": "2026-01-08T21:00:00+00:00", "answers": 8,
            "readable": 1.0, "levels": LEVELS, "quantiles": [[1.0, 2.0]] * len(LEVELS), "n": number,
            "stamp": f"2026-01-0{number}T22:00:00.000000+00:00", "late": False, "previous": previous,
        }  # fmt: skip
        content["digest"] = previous = json_digest(content)
        lines.append(json.dumps(content, ensure_ascii=False))
    return lines


LOG = _chain()


def _dataset() -> dict[str, bytes]:
    sequence = "[1.0, 1.5, 2.0]"
    texts = {"stock": "AAPL", "sequence": f'"{sequence}"'}
    files = {"dataset.json": json.dumps({"stocks": {"AAPL": {"rows": 3}}}).encode()}
    for part, columns in (("x", X_COLUMNS), ("y", Y_COLUMNS)):
        rows = [
            ",".join(texts.get(name, f"2020-01-0{row}" if name in reading.TEXTS else "1.5") for name in columns)
            for row in (2, 3, 6)
        ]
        files[f"AAPL_train_{part}.csv"] = "\n".join([",".join(columns), *rows, ""]).encode()
    return files


DATASET = _dataset()


def _split_cases(rng: random.Random) -> Iterator[Case]:
    for name in DATASET:
        for content in WHOLE:
            yield Case(f"whole {name}", DATASET | {name: content}, refused=content not in (b"{}",))
    while True:
        name = rng.choice(list(DATASET))
        if name.endswith(".csv") and rng.random() < 0.5:
            lines = DATASET[name].decode().split("\n")
            row = rng.randrange(len(lines) - 1)
            cells = lines[row].split(",")
            cells[rng.randrange(len(cells))] = rng.choice((*NUMBERS, "", "x", '"[1]"', '"[[1]]"', '"]["', "\x00", "[1"))
            lines[row] = ",".join(cells)
            yield Case("cell", DATASET | {name: "\n".join(lines).encode()})
        else:
            yield Case("accident", DATASET | {name: damaged(rng, DATASET[name])})


def _sound_split(found: Any) -> bool:
    windows, targets = found
    if any(len(window.context) != len(windows[0].context) for window in windows):
        return False
    numbers = [value for window in windows for value in (*window.context, window.volatility, window.price_unit)]
    known = all(set(window.indicators) == set(INDICATORS) for window in windows)
    assert STATISTICS
    return known and printable(numbers) and printable([target.values for target in targets])


def _log_cases(rng: random.Random) -> Iterator[Case]:
    """A chain with entries gone, twice, swapped or changed: nothing but the first entries in order is right."""
    for way in ([1, 2], [0, 2], [2, 1, 0], [0, 0, 1, 2], [1], [0, 1, 2, 2]):
        yield Case("order", {"log.jsonl": "".join(LOG[row] + "\n" for row in way).encode()}, refused=True)
    yield from of_lines(rng, "log.jsonl", LOG)


def _sound_log(found: Any) -> bool:
    """Whatever is taken must be a beginning of what was written, to the digest."""
    return [entry.digest for entry in found] == [json.loads(line)["digest"] for line in LOG[: len(found)]]


def _anything(found: Any) -> bool:
    return printable(found.model_dump(mode="json") if hasattr(found, "model_dump") else found)


def _manifest_cases(rng: random.Random) -> Iterator[Case]:
    for name in ("../log.csv", "/etc/passwd", "a/../../b", "", ".", "\x00", "x" * 5_000, "/dev/zero"):
        text = Manifest(**(json.loads(MANIFEST) | {"outputs": {name: "a" * 64}})).sealed().model_dump_json()
        yield Case("name", {"manifest.json": text.encode(), "log.csv": OUTPUT}, refused=True)
    yield from of_json(rng, "manifest.json", MANIFEST, **{"log.csv": OUTPUT})


def _sound_ingests(found: Any) -> bool:
    return all(_anything(ingest) for ingest in found)


def _examples() -> tuple[list[str], list[str]]:
    close = {"context": [1.0, 1.5], "volatility": 1.5, "price_offset": 0.0, "price_unit": 1.5}
    numbers = {"indicators": {"rsi": 50.0}, "statistics": {"mean": 1.0, "lag_1": None}}
    company = {"name": "Apple", "description": "", "facts": [["EPS", "6.11"]]}
    headline = {"time": "2020-01-01T14:30:00+00:00", "text": "Phones sell", "hours": 5.5}
    decisions = [
        json.dumps({
            "window": {"stock": "AAPL", "date": f"2020-01-0{row}"} | close | numbers,
            "company": company,
            "headlines": [headline],
        })
        for row in (2, 3, 6)
    ]  # fmt: skip
    return decisions, [json.dumps({"end": f"2020-01-0{row}", "change": 1.5, "label": "up"}) for row in (3, 6, 7)]


def _example_cases(rng: random.Random) -> Iterator[Case]:
    names = ("val_decisions.jsonl", "val_movements.jsonl")
    good = {
        name: "".join(line + "\n" for line in lines).encode() for name, lines in zip(names, _examples(), strict=True)
    }
    supplies = [of_lines(rng, name, lines) for name, lines in zip(names, _examples(), strict=True)]
    while True:
        for supply in supplies:
            case = next(supply)
            yield Case(case.name, good | case.files)


def _sound_examples(found: Any) -> bool:
    windows = [decision.window for decision in found.decisions]
    labels = {movement.label for movement in found.movements}
    numbers = [value for window in windows for value in (*window.context, window.volatility)]
    return labels <= {"up", "down", "flat"} and printable([numbers, [movement.change for movement in found.movements]])


def _seal(at: Path, case: Case) -> tuple[bool, str]:
    (at / "seal").rename(at / checkpoints.SEAL)
    return checkpoints.is_whole(at), (at / checkpoints.SEAL).read_text(encoding="utf-8", errors="replace")


def _sound_seal(found: Any) -> bool:
    """A damaged seal makes a checkpoint count as not whole; nothing is refused."""
    whole, text = found
    return not whole or json.loads(text) == json.loads(SEAL)


READERS = [
    Reader(
        "run: config.json",
        lambda rng: of_json(rng, "config.json", CONFIG),
        lambda at, case: open_run(at).config,
        _anything,
    ),
    Reader("run: manifest.json", _manifest_cases, lambda at, case: verify(at), _anything),
    Reader("run: dataset", _split_cases, lambda at, case: reading.read_split(at, "train"), _sound_split),
    Reader("run: examples", _example_cases, lambda at, case: read_examples(at, "val"), _sound_examples),
    Reader(
        "run: checkpoint seals",
        lambda rng: of_json(rng, "seal", SEAL, **{"adapter_model.safetensors": b"weights"}),
        _seal,
        _sound_seal,
    ),
    Reader(
        "registry: champion.json",
        lambda rng: of_json(rng, champions.CHAMPION, CHAMPION),
        lambda at, case: champions.read(at),
        _anything,
    ),
    Reader(
        "registry: entry.json",
        lambda rng: of_json(rng, f"{KEY}/entries/0123456789ab/{ENTRY_FILE}", ENTRY),
        lambda at, case: entries.load(at / KEY / "entries" / "0123456789ab"),
        _anything,
    ),
    Reader(
        "registry: trials.jsonl",
        lambda rng: of_lines(rng, f"{DIRECTORY}/{KEY}/{TRIALS_FILE}", _trials()),
        lambda at, case: (Registry(at).trials_since_promotion(KEY), Registry(at).trials(KEY)),
        lambda found: 0 <= found[0] <= len(found[1]) and printable(found[1]),
    ),
    Reader("forward log", _log_cases, lambda at, case: forward_log.read(at), _sound_log),
    Reader(
        "ingest log",
        lambda rng: of_lines(rng, ingests.LOG, INGESTS),
        lambda at, case: ingests.read(at),
        _sound_ingests,
    ),
]
