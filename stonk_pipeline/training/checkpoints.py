"""Checkpoints that are believed only when they are whole.

transformers writes a checkpoint's files straight into its final directory, so a killed run can leave half of one, and
a missing optimizer state is silently replaced by a fresh one. Here each checkpoint gets a seal, written last, that
lists its files with their digests; only sealed ones that still match are continued from.
"""

import json
import re
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import StageError
from stonk_pipeline.runs import file_digest, write_atomic

SEAL = "sealed.json"


def seal(checkpoint: Path) -> None:
    """Marks a checkpoint as whole."""
    files = {
        path.relative_to(checkpoint).as_posix(): file_digest(path)
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != SEAL  # an old one, where a step is reached for the second time
    }
    write_atomic(checkpoint / SEAL, json.dumps(files, indent=2))


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is sealed and its files are as they were then."""
    try:
        files = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        return all(file_digest(checkpoint / name) == digest for name, digest in files.items())
    except (OSError, ValueError, AttributeError):  # the last: JSON, but not a mapping
        return False


def last_whole_checkpoint(directory: Path) -> Path | None:
    """The latest checkpoint that can be continued from."""
    found = [
        (int(match[1]), path) for path in directory.glob("checkpoint-*") if (match := re.search(r"-(\d+)$", path.name))
    ]
    return next((path for _, path in sorted(found, reverse=True) if is_whole(path)), None)


def require_finished(step: int, steps: int) -> None:
    """Transformers returns normally when a signal stops it; that must not count as a finished stage.

    Raises:
        StageError: the last step was not reached.
    """
    if step < steps:
        raise StageError(
            f"training stopped at step {step} of {steps}; run the stage again to continue from a checkpoint"
        )


def seal_checkpoints() -> Any:
    """A trainer callback that seals each checkpoint after it is written."""
    from transformers import TrainerCallback

    class Sealer(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return Sealer()
