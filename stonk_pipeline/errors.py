"""Defines the errors that this project raises on purpose; each message says what to change.

    PipelineError
    ├── ConfigError      a setting is wrong, or two settings contradict each other
    ├── DataError        a file of bars cannot be used; names file, row or column, and the remedy
    ├── PromptError      a prompt does not fit the model
    ├── EngineError      a library or a device that a setting asks for is not there
    │   ├── StartError       an engine did not start; may do so later
    │   └── UnknownModelError  an engine has no code for a model's architecture
    ├── StageError       a stage cannot run, or its outputs are missing or damaged
    │   ├── BusyError        another process holds what is needed; may be free later
    │   └── CapacityError    memory or disk is used up; says what to change
    ├── DownloadError    something could not be fetched; may be there later
    ├── RegistryError    a registered model is missing or damaged, or cannot be what is asked of it
    └── LogError         a log that only grows is damaged, or an entry may not be written

Each keeps a single message, so that it survives pickling between processes. `transient` tells whether the same attempt
can succeed a little later without anybody's doing: those alone are tried again by themselves. `did_you_mean` words the
remedy for a name that is spelt wrongly.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher

MOST_SUGGESTED = 3
LIKE = 0.7
"""Share of letters in common from which a name counts as spelt like another."""


class PipelineError(Exception):
    """Base of every error this project raises on purpose; the message names the thing and the remedy."""

    transient = False


class ConfigError(PipelineError):
    """A setting is wrong, or two settings contradict each other."""


class DataError(PipelineError):
    """A file of bars cannot be used."""


class PromptError(PipelineError):
    """A prompt does not fit the model."""


class EngineError(PipelineError):
    """A library or a device that a setting asks for is not there."""


class StartError(EngineError):
    """An engine did not start, though all that it needs is there."""

    transient = True


class UnknownModelError(EngineError):
    """An engine has no code for the architecture of a model."""


class StageError(PipelineError):
    """A stage cannot run, or its outputs are missing or damaged."""


class RegistryError(PipelineError):
    """A registered model is missing or damaged, or cannot be what is asked of it."""


class LogError(PipelineError):
    """A log that only grows is damaged, or an entry may not be written."""


class BusyError(StageError):
    """Another process holds what is needed."""

    transient = True


def of_system(error: OSError) -> StageError:
    """Words an operating system's error in one line with its path: an unreadable folder, a file where none is."""
    if error.filename is None or error.strerror is None:
        return StageError(str(error).strip() or type(error).__name__)
    path = str(error.filename2 or error.filename)
    return StageError(f"{path}: {error.strerror.lower()}; check this path, and who may read and write there")


EXTRAS = {
    "cpu": ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors", "tokenizers"),
    "gpu": ("vllm", "unsloth", "bitsandbytes"),
}
"""Extra of the package -> the libraries that only it brings."""


def of_import(error: ModuleNotFoundError) -> EngineError:
    """Words the lack of a library that a light install leaves out, with the remedy.

    Raises:
        ModuleNotFoundError: the one that is given, if it is of any other module.
    """
    library = (error.name or "").partition(".")[0]
    for extra, libraries in EXTRAS.items():
        if library in libraries:
            return EngineError(
                f"{library} is not installed, and asking or training a model needs it; install the package with its "
                f"extra {extra}: pip install 'PACKAGE[{extra}]', where PACKAGE is the wheel or the folder of the code"
            )
    raise error


class CapacityError(StageError):
    """Memory or disk is used up."""


class DownloadError(PipelineError):
    """Something could not be fetched."""

    transient = True


def did_you_mean(word: str, known: Iterable[str], write: str = "{}", *, dotted: bool = False) -> str:
    """Words a question for the known names that are spelt like a wrong one; empty where none is.

    Args:
        word: the wrong name.
        known: the right names.
        write: how each of them is written.
        dotted: whether sections stand before names, which may be missing or nearly right.

    Example:
        >>> did_you_mean("sft.epoch", ["sft.epochs", "sft.batch_size"], dotted=True)
        'did you mean sft.epochs?'
    """
    like = _likeness_of_dotted if dotted else _likeness
    scores = {name: like(word.lower(), name.lower()) for name in known}
    best = max(scores.values(), default=0.0)
    close = [name for name in sorted(scores, key=lambda name: -scores[name]) if scores[name] >= max(LIKE, best - 0.05)]
    return f"did you mean {' or '.join(map(write.format, close[:MOST_SUGGESTED]))}?" if close else ""


def _likeness(word: str, name: str) -> float:
    """How much a wrong name is spelt like a right one, 0 to 1."""
    part = 0.8 if name.startswith(word) and len(word) > 2 else 0.0  # as grpo of grpo_first
    return max(part, SequenceMatcher(None, word, name).ratio())


def _likeness_of_dotted(word: str, name: str) -> float:
    """The same, with sections and the name in them compared apart: sections are long, and the same in many names."""
    (sections, last), (right_sections, right_last) = (text.rpartition(".")[::2] for text in (word, name))
    same = _likeness(last, right_last)
    if same >= LIKE and sections:
        return 0.7 * same + 0.3 * SequenceMatcher(None, sections, right_sections).ratio()
    return max(same, 0.0 if sections or not right_sections else SequenceMatcher(None, word, name).ratio())
