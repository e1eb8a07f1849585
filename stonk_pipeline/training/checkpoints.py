"""Seals checkpoints with a list of checksums that is written last, and resumes only from those that match it.

transformers writes a checkpoint's files straight into its final directory, so a killed run can leave half of one, and
a missing optimizer state is silently replaced by a fresh one. Here each checkpoint gets a seal, written last, that
lists its files with their digests; only sealed ones that still match are continued from. The logs and the best adapter
of the moment lie in the checkpoint too: what a training continues from is of one piece.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import StageError
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.runs.manifest import CHECKPOINTS, file_digest, write_atomic

SEAL = "sealed.json"
STATE = "state"
"""Directory beside the checkpoints for logs and the best adapter while a training runs: an interrupted stage's outputs
are removed before it runs again, its checkpoints are not."""


def open_state(out: Path) -> Path:
    """Makes the directory of a running training's logs and best adapter, as at its last whole checkpoint."""
    state = out / CHECKPOINTS / STATE
    shutil.rmtree(state, ignore_errors=True)
    checkpoint = last_whole_checkpoint(out / CHECKPOINTS)
    if checkpoint is not None and (checkpoint / STATE).is_dir():
        shutil.copytree(checkpoint / STATE, state)
    state.mkdir(parents=True, exist_ok=True)
    return state


def keep_state(checkpoint: Path) -> None:
    """Copies logs and best adapter into a checkpoint that is about to be sealed."""
    shutil.rmtree(checkpoint / STATE, ignore_errors=True)
    if (checkpoint.parent / STATE).is_dir():
        shutil.copytree(checkpoint.parent / STATE, checkpoint / STATE)


def publish_state(out: Path) -> None:
    """Copies logs and best adapter from a training's working state to the stage's outputs."""
    shutil.copytree(out / CHECKPOINTS / STATE, out, dirs_exist_ok=True)


def seal(checkpoint: Path) -> None:
    """Marks a checkpoint as whole by writing the checksums of its files."""
    files = {
        path.relative_to(checkpoint).as_posix(): file_digest(path)
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != SEAL  # an old one, where a step is reached for the second time
    }
    write_atomic(checkpoint / SEAL, json.dumps(files, indent=2))


def is_whole(checkpoint: Path) -> bool:
    """Tells whether a checkpoint is sealed and its files are as they were then."""
    try:
        files = read_table(checkpoint / SEAL, StageError, "")
        return bool(files) and all(file_digest(checkpoint / name) == digest for name, digest in files.items())
    except (OSError, ValueError, StageError):
        return False


def last_whole_checkpoint(directory: Path) -> Path | None:
    """Finds the latest checkpoint that a training can resume from."""
    found = [path for path in directory.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return next((path for path in sorted(found, key=step_of, reverse=True) if is_whole(path)), None)


def step_of(checkpoint: Path) -> int:
    """Returns the optimizer step at which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def require_finished(step: int, steps: int) -> None:
    """Refuses a training that stopped early: transformers returns normally when a signal stops it.

    Raises:
        StageError: the last step was not reached.
    """
    if step < steps:
        raise StageError(
            f"training stopped at step {step} of {steps}; run the stage again to continue from a checkpoint"
        )


def restore_adapter(network: Any, checkpoint: Path | None) -> Any:
    """Makes a trainer callback that loads a checkpoint's trained adapter when a training resumes.

    Where the checkpoint holds a second adapter, the frozen reference of a KL term, transformers 5.17 loads that one
    alone and leaves the trained one as it was before the interrupted run.
    """
    from transformers import TrainerCallback

    class Restorer(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if checkpoint is None:
                return
            from peft import set_peft_model_state_dict
            from safetensors.torch import load_file

            set_peft_model_state_dict(network, load_file(checkpoint / "adapter_model.safetensors"))

    return Restorer()


def seal_checkpoints() -> Any:
    """Makes a trainer callback that seals each checkpoint after it is written."""
    from transformers import TrainerCallback

    class Sealer(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            keep_state(checkpoint)
            seal(checkpoint)

    return Sealer()
