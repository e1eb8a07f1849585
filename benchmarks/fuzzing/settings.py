"""Malformed `--set` options and recipes."""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stonk_pipeline.commands.options import add_config_options, resolve_config
from stonk_pipeline.contracts.recipes import recipe_files

from .cases import NUMBERS, Case, Reader, damaged, printable

KEYS = (
    "contract", "base", "seed", "data", "data.window", "data.horizon", "data.stocks", "data.data_dir", "data.adjust",
    "data.val_start", "data.test_start", "data.market", "data.market.start", "data.market.days", "model", "model.name",
    "model.knowledge_cutoff", "lora", "lora.rank", "lora.alpha", "grpo_first", "grpo_first.steps", "grpo_first.rewards",
    "grpo_first.learning_rate", "sampling.temperature", "sft.epochs", "comparison.windows", "comparison", "prompt",
    "cuda_devices", "results_dir", "models_dir", "news", "records", "gate.mode", "clock.early_closes", "clock.zone",
    "clock.session_close", "split", "examples.flat_percent", "stage_one.beta", "stage_one", "run", "a" * 300, "a.b.c",
    "__class__", "model_config", "data.market.stocks", "data.folds", "data.fold", "comparison.levels",
)  # fmt: skip
VALUES = (
    "2019-02-30", "2019-13-01", "2019-01-01T25:00:00", "2019-01-01 00:00:00 +99:99", "0000-01-01", "!!int x",
    "!!float x",
    "!!bool x", "!!timestamp x", "!!null x", "!!binary x", "!!binary /w==", "!!set {a, b}", "!!omap [a: 1]",
    "!!pairs [a: 1]",
    "!!python/object/apply:os.system [id]", "!!str [a]", "!!map x", "!!seq x", "!x y", "!<x> y", "*a", "&a [*a]",
    "&a {b: *a}",
    "&a {*a : 1}", "[]", "{}", "[[]]", "{a: {b: {c: 1}}}", "{[a]: b}", "{{a: 1}: b}", "? [a]\n: b", "null", "~",
    "true", "yes",
    ".nan", ".inf", "-.inf", "1e400", "0x1F", "0o17", "0b11", "1_000", "1:60:60", "-1", "0", "1", "0.5", "2",
    "1e-320", '""',
    "x", "'", '"', '"\\ud800"', '"\\0"', '"\\x07"', "\x00", "\x07", "\u202e", "\ud800", "%", "%YAML 9.9", "---",
    "--- a\n--- b",
    "...", "@", "`", "|", ">", "- a", "a: b", "a: b: c", "<<: a", "<<: [a]", "{<<: {a: 1}, <<: {a: 2}}", "{a: 1, a: 2}",
    "[" * 3000, "[" * 3000 + "]" * 3000, "{a: " * 3000 + "}" * 3000, "- " * 3000, "1" * 5000, "1:" * 5000 + "1",
    "0x" + "f" * 5000, "0." + "1" * 90_000, "a" * 90_000, "a" * 200_000, "9" * 19, "9" * 20, "2024-01-01",
    "../../etc/passwd",
    "/dev/zero", "a\nb", "[1, 2", "{1: 2", "[1,,2]", "!!int 9223372036854775808", "=", "<<", "&", "!", "\ufeff1",
    "1\x85",
)  # fmt: skip
RECIPES = (
    b"", b"\xff\xfe\x00", b"\xef\xbb\xbfseed: 1", b"- a", b"a", b"1", b"base: default", b"base: []", b"base: {a: 1}",
    b"base: 5", b"base: recipe.yaml", b"base: /dev/zero", b"base: ..", b"base: ''", b"? a", b"seed: 1\nseed: 2",
    b"seed: 1\x00", b"\x00" * 9_000, b"a: " * 3_000, b"[" * 100_000, b"x" * 5_000_000, b"contract: []", b"contract: {}",
    b"contract: 1", b"contract: null", b"contract: &a [*a]", b"1: 2", b"null: 1", b"[a]: 1", b"true: {}",
    b"2019-01-01: 1",
    b"? {a: 1}\n: 2", b"data: 1", b"data: [1]", b"data: {stocks: {a: 1}}", b"data: {stocks: [1, null, []]}",
    b"data:\n\tx: 1",
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
    b"g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nseed: *g",
    b"data: &a\n  market: *a",
    b"seed: !!python/object/apply:os.system [id]",
    b"a: &a {a: 1}\n<<: *a\n<<: *a",
    b"".join(b"k%d: 1\n" % number for number in range(9_000)),
)  # fmt: skip
RECIPE = b"""contract: forecast
seed: 3
data:
  stocks: [AAPL, MSFT]
  window: 12
  market: {days: 900, start: 2015-01-05}
model: {name: stonk-tiny, max_seq_length: 400}
lora: &lora {rank: 8}
grpo_first: {steps: 5, rewards: {shape: 1.0}}
"""


def set_cases(rng: random.Random) -> Iterator[Case]:
    """Each bad value for each of some keys, and then bad values after accidents."""
    for text in ("", "=", "=1", "a", "a.=1", ".a=1", "a..b=1", "a." * 3000 + "b=1", "\x00=1", "seed=" + "[" * 3000):
        yield Case("form", options=("--set", text))
    for value in VALUES:
        yield Case("value", options=("--set", f"{rng.choice(KEYS)}={value}"))
    while True:
        value = rng.choice((*VALUES, *NUMBERS))
        if rng.random() < 0.3:
            value = damaged(rng, value.encode(errors="surrogatepass")[:300]).decode(errors="surrogateescape")
        recipe = rng.choice(("default", "default", "direction"))
        yield Case("value", options=("--set", f"{rng.choice(KEYS)}={value}", "--recipe", recipe))


def recipe_cases(rng: random.Random) -> Iterator[Case]:
    """Names that are no recipe, whole files, and a good file with a bad line or after accidents."""
    for name in (
        "",
        ".",
        "..",
        "x" * 5_000,
        "x" * 300 + ".yaml",
        "\x00",
        "\x00.yaml",
        "../recipes/default",
        "/dev/zero",
    ):
        yield Case("name", options=("--recipe", name))
    yield Case("directory", write=lambda at: (at / "recipe.yaml").mkdir(), options=("--recipe", "recipe.yaml"))
    yield Case("pipe", write=_pipe, options=("--recipe", "recipe.yaml"))
    yield Case(
        "loop", write=lambda at: (at / "recipe.yaml").symlink_to("recipe.yaml"), options=("--recipe", "recipe.yaml")
    )
    for content in RECIPES:
        yield Case("whole", {"recipe.yaml": content}, options=("--recipe", "recipe.yaml"))
    while True:
        if rng.random() < 0.5:
            content = damaged(rng, RECIPE)
        else:
            *outer, key = rng.choice(KEYS).split(".")
            value = rng.choice(VALUES).replace("\n", "\n  ")
            content = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(outer)).encode()
            content += f"{'  ' * len(outer)}{key}: {value}\n".encode(errors="surrogatepass")
        yield Case("recipe", {"recipe.yaml": content}, options=("--recipe", "recipe.yaml"))


def _pipe(at: Path) -> None:
    import os

    os.mkfifo(at / "recipe.yaml")


def _resolve(directory: Path, case: Case) -> Any:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_config_options(parser)
    options = [str(directory / option) if option == "recipe.yaml" else option for option in case.options]
    args = parser.parse_args([])
    for name, value in zip(options[::2], options[1::2], strict=True):
        setattr(args, name[2:], [value] if name == "--set" else value)
    if args.recipe is None:
        args.recipe = "default"
    return resolve_config(args)


def _sound(config: Any) -> bool:
    """Whether the settings survive being written and read, which every run does with them."""
    again = type(config).model_validate_json(config.model_dump_json())
    return bool(again == config) and printable(config.model_dump(mode="json"))


assert recipe_files()
READERS = [Reader("--set", set_cases, _resolve, _sound), Reader("recipes", recipe_cases, _resolve, _sound)]
