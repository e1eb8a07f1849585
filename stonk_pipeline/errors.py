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
can succeed a little later without anybody's doing: those alone are tried again by themselves.
"""


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
