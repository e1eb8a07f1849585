"""Where shared code names one of the contracts: a list that may only grow shorter."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORECAST = {
    *("forecast", "forecast_prompts", "tiny", "rewards.forecast", "config.pipeline"),
    *(
        "training.grpo",
        "training.forecast_book",
        "training.forecast_validation",
        "training.sft",
        "training.kept_answers",
    ),
    *("sampling.rejection", "sampling.selection", "sampling.foundation"),
    *(
        f"evaluation.{name}"
        for name in ("arguments", "breakdown", "command", "compare", "evidence", "examples", "folds")
    ),
    *(f"evaluation.{name}" for name in ("forecast_files", "matching", "protocol", "scores", "stage", "trades")),
    *(f"report.{name}" for name in ("fans", "page", "pictures", "trust", "runs_page")),
    *(f"forward.{path.stem}" for path in (ROOT / "stonk_pipeline" / "forward").glob("[a-z]*.py")),
}
DIRECTION = {
    *("direction", "examples", "reasoning", "words", "masking", "tiny_calls", "tiny_clauses", "rewards.direction"),
    *("config.calls", "config.direction", "training.calls", "registry.calls_contest"),
    *(f"evaluation.{name}" for name in ("calls", "calls_evidence", "calls_examples", "calls_log", "calls_results")),
    *(f"evaluation.{name}" for name in ("calls_scores", "direction", "direction_verdict", "transition")),
    *("report.calls_page", "report.calls_pictures"),
}
SETTINGS = {"PipelineConfig", "DirectionConfig", "of_forecasts"}
"""What says by its name which contract it serves."""


def shared_files():
    own = FORECAST | DIRECTION
    for folder in ("stonk_pipeline", "tasks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            if name.removeprefix("stonk_pipeline.") not in own:
                yield name.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def named(tree):
    """What of a contract's own a file imports, names, or asks for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stonk_pipeline"):
            inside = node.module.removeprefix("stonk_pipeline").lstrip(".")
            for name in node.names:
                for module in (inside, f"{inside}.{name.name}".lstrip(".")):
                    if module in FORECAST | DIRECTION:
                        yield module
                if name.name in SETTINGS:
                    yield name.name
        elif isinstance(node, ast.Compare) and any(
            isinstance(part, ast.Constant) and part.value in ("forecast", "direction")
            for part in (node.left, *node.comparators)
        ):
            yield "a comparison with the contract's name"


def test_shared_code_names_no_contract_but_where_it_is_known_to():
    found = {f"{file} {name}" for file, tree in shared_files() for name in named(tree)}
    known = set((Path(__file__).with_name("contracts_named.txt")).read_text(encoding="utf-8").splitlines())
    assert found - known == set(), "ask the contract for it instead"
    assert known - found == set(), "take these lines out of contracts_named.txt: they are mended"
