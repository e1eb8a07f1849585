"""Defines the steps of a direction run: examples, a warm-up, a balanced stage, a gate, all days, a comparison."""

from pathlib import Path

from stonk_pipeline.contracts.direction import notes as own
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.pipeline import notes
from stonk_pipeline.pipeline.graph import PREPROCESS, Step, Steps, graph, without

EXAMPLES, WARM_UP = "examples", "warm-up"
_EXAMPLES = {"examples": EXAMPLES}
_FEWER_ANSWERS = "lower model.gpu_memory_utilization, model.max_seq_length or comparison.samples"
_SMALLER_PASSES = "lower {}.micro_batch (answers in one pass), or model.max_seq_length"
_REWARD = notes.trained("reward", "reward", ".2f")


def _files(config: DirectionConfig) -> dict[str, Path]:
    """Input name -> file of headlines, company facts or records that the settings name.

    Raises:
        DataError: there is no such file, folder or dataset.
    """
    if config.records is not None:
        from stonk_pipeline.contracts.direction.make.records import record_files

        return {f"records/{path.name}": path for path in record_files(config.records)}
    from preprocessing.news import news_files

    files = {f"news/{path.name}": path for path in news_files(Path(config.news))} if config.news else {}
    return files | ({"companies": Path(config.companies).expanduser()} if config.companies else {})


STEPS = graph(
    PREPROCESS,
    Step(
        EXAMPLES,
        "Examples",
        "stonk_pipeline.contracts.direction.make.stage:STAGE",
        "examples",
        DirectionConfig.examples_stage,
        {"dataset": PREPROCESS.name},
        files=_files,
        loads_model=False,
        start_seconds=5,
        wording=own.examples,
    ),
    Step(
        WARM_UP,
        "Warm-up",
        "stonk_pipeline.contracts.direction.warmup:STAGE",
        "warm_up",
        DirectionConfig.warmup_stage,
        _EXAMPLES,
        optional=True,
        smaller=_SMALLER_PASSES.format("warmup"),
        wording=notes.warmed_up,
    ),
    Step(
        "stage-one",
        "Stage I",
        "stonk_pipeline.contracts.direction.lesson:ONE",
        "stage1_training",
        lambda config: config.policy_stage("one"),
        _EXAMPLES | {"warm_up": WARM_UP},
        "direction_lora_1st",
        smaller=_SMALLER_PASSES.format("stage_one"),
        wording=_REWARD,
    ),
    Step(
        "gate",
        "Gate to stage II",
        "stonk_pipeline.contracts.direction.scores.stage:GATE",
        "gate",
        lambda config: config.calls_stage("one"),
        _EXAMPLES | {"stage_one": "stage-one"},
        smaller=_FEWER_ANSWERS,
        wording=own.gate,
    ),
    Step(
        "stage-two",
        "Stage II",
        "stonk_pipeline.contracts.direction.lesson:TWO",
        "stage2_training",
        lambda config: config.policy_stage("two"),
        _EXAMPLES | {"start": "stage-one"},
        "direction_lora_2nd",
        gate="gate",
        smaller=_SMALLER_PASSES.format("stage_two"),
        wording=_REWARD,
    ),
    Step(
        "compare",
        "Comparison",
        "stonk_pipeline.contracts.direction.scores.stage:STAGE",
        "model_comparison",
        lambda config: config.calls_stage("two"),
        _EXAMPLES | {"stage_one": "stage-one", "gate": "gate", "stage_two": "stage-two"},
        smaller=_FEWER_ANSWERS,
        wording=notes.judged("decisions"),
    ),
)


def steps_of(config: DirectionConfig) -> Steps:
    """Returns the graph of a run with these settings."""
    steps = STEPS if config.records is None else without(STEPS, PREPROCESS.name)  # records need no windows to be cut
    return without(steps, WARM_UP) if config.warmup.when == "never" else steps
