"""Defines the steps of a forecast run: a warm-up, GRPO, rejection sampling, fine-tuning, GRPO again, a comparison."""

from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.pipeline import notes
from stonk_pipeline.pipeline.graph import PREPROCESS, Step, Steps, graph, without

WARM_UP = "warm-up"
_DATASET, _WARMED_UP = {"dataset": PREPROCESS.name}, {"start": WARM_UP}
_FEWER_ANSWERS = "lower model.gpu_memory_utilization, model.max_seq_length or {}"
_SMALLER_PASSES = "lower {}.micro_batch (answers in one pass), or model.max_seq_length"
_SKILL = notes.trained("skill_median", "skill", "+.1%")

STEPS = graph(
    PREPROCESS,
    Step(
        WARM_UP,
        "Warm-up",
        "stonk_pipeline.contracts.forecast.warmup:STAGE",
        "warm_up",
        PipelineConfig.warmup_stage,
        _DATASET,
        optional=True,
        smaller=_SMALLER_PASSES.format("warmup"),
        wording=notes.warmed_up,
    ),
    Step(
        "grpo-first",
        "First GRPO",
        "stonk_pipeline.contracts.forecast.lesson:FIRST",
        "stage1_grpo_training",
        lambda config: config.grpo_stage("first"),
        _DATASET | _WARMED_UP,
        "grpo_lora_1st",
        smaller=_SMALLER_PASSES.format("grpo_first"),
        wording=_SKILL,
    ),
    Step(
        "sample",
        "Rejection sampling",
        "stonk_pipeline.contracts.forecast.rejection:STAGE",
        "sft_data_generation",
        PipelineConfig.sampling_stage,
        _DATASET | {"policy": "grpo-first"},
        smaller=_FEWER_ANSWERS.format("sampling.samples"),
        start_seconds=25,
        wording=notes.kept,
    ),
    Step(
        "sft",
        "Supervised fine-tuning",
        "stonk_pipeline.training.sft:STAGE",
        "stage2_sft_training",
        PipelineConfig.sft_stage,
        {"examples": "sample"} | _WARMED_UP,
        "sft_lora",
        smaller="lower sft.micro_batch, or model.max_seq_length",
        wording=notes.fine_tuned,
    ),
    Step(
        "grpo-second",
        "Second GRPO",
        "stonk_pipeline.contracts.forecast.lesson:SECOND",
        "stage3_grpo_from_sft",
        lambda config: config.grpo_stage("second"),
        _DATASET | {"start": "sft"},
        "grpo_lora_2nd",
        smaller=_SMALLER_PASSES.format("grpo_second"),
        wording=_SKILL,
    ),
    Step(
        "compare",
        "Comparison",
        "stonk_pipeline.contracts.forecast.scores.stage:STAGE",
        "model_comparison",
        PipelineConfig.comparison_stage,
        _DATASET | {"grpo_1st": "grpo-first", "sft": "sft", "grpo_2nd": "grpo-second"},
        smaller=_FEWER_ANSWERS.format("comparison.samples"),
        start_seconds=9,
        wording=notes.judged("windows"),
    ),
)


def steps_of(config: PipelineConfig) -> Steps:
    """Returns the graph of a run with these settings."""
    return without(STEPS, WARM_UP) if config.warmup.when == "never" else STEPS


POOLED = Step(
    "compare",
    "Pooled comparison",
    "stonk_pipeline.contracts.forecast.scores.folds:STAGE",
    "model_comparison",
    PipelineConfig.comparison_stage,
    loads_model=False,
    start_seconds=5,
    wording=notes.judged("windows"),
)
"""The comparison of a walk-forward: over the windows of all its folds."""
