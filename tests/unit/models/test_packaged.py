"""Language models in wheels: fetched by pip, converted once, checked, and made anew where they were damaged."""

import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from stonk_pipeline import PACKAGE, errors
from stonk_pipeline.commands import options
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.models import locations, packaged
from stonk_pipeline.models.conversion import SAMPLE, Conversion, convert, weights_digest
from stonk_pipeline.models.packaged import PACKAGED, Packaged, made
from stonk_pipeline.models.readiness import require_model
from stonk_pipeline.models.wheels import Wheel

NAME = "smallest"
END = "<|end|>"
TEMPLATE = "{% for message in messages %}{{ message['content'] }}<|end|>{% endfor %}"


def write_gguf(path: Path) -> tuple[int, ...]:
    """Writes a Llama of one layer with byte-level BPE, as quantising programs do; gives the tokens of the sample."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([SAMPLE] * 4, trainer)
    learned = json.loads(made.to_str())["model"]
    pieces = sorted(learned["vocab"], key=learned["vocab"].get)
    writer, width, chance = GGUFWriter(path, "llama"), 64, np.random.default_rng(0)
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(pieces)
    writer.add_token_types([3 if piece == END else 1 for piece in pieces])
    writer.add_token_merges([" ".join(pair) for pair in learned["merges"]])
    writer.add_chat_template(TEMPLATE)
    shapes = {"attn_q": (64, 64), "attn_k": (32, 64), "attn_v": (32, 64), "attn_output": (64, 64)}
    shapes |= {"ffn_gate": (64, 64), "ffn_up": (64, 64), "ffn_down": (64, 64)}
    tensors = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    for name, shape in (tensors | {"token_embd.weight": (len(pieces), width)}).items():
        writer.add_tensor(name, chance.standard_normal(shape).astype(np.float16), raw_dtype=GGMLQuantizationType.F16)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tuple(made.encode(SAMPLE).ids)


def write_wheel(folder: Path, package: str, content: bytes) -> Wheel:
    """Writes a wheel with one file of data."""
    stem = package.replace("-", "_")
    path, record = folder / f"{stem}-1.0.0-py3-none-any.whl", f"{stem}-1.0.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}/part.bin", content)
        archive.writestr(f"{record}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n")
        archive.writestr(f"{record}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{record}/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(package, "1.0.0", digest, (f"{stem}/part.bin",), (f"{record}/METADATA",))


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> tuple[Path, Packaged]:
    """A folder of wheels that pip may take, and the model in them."""
    pytest.importorskip("gguf", reason="gguf is not installed: run ./setup.sh")
    folder, out = tmp_path_factory.mktemp("index"), tmp_path_factory.mktemp("converted")
    sample = write_gguf(folder / "model.gguf")
    content = (folder / "model.gguf").read_bytes()
    parts = (content[:70_000], content[70_000:])
    wheels = tuple(write_wheel(folder, f"{NAME}-model-part{number}", part) for number, part in enumerate(parts))
    conversion = Conversion("bytes", None, END, END, sample, "0" * 64)
    with pytest.raises(errors.StageError, match=r"its weights have the digest \w{64}, which should be 0{64}$"):
        convert(conversion, folder / "model.gguf", out)
    conversion = replace(conversion, weights=weights_digest(out))
    source = hashlib.sha256(content).hexdigest()
    return folder, Packaged("Smallest", "nobody/smallest", "its own", 1, wheels, source, conversion)


@pytest.fixture
def known(index, tmp_path, monkeypatch):
    """Makes pip see those wheels alone, and the model known under its name."""
    folder, model = index
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("STONK_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setitem(PACKAGED, NAME, model)
    return model


def test_made_fetches_converts_and_keeps_a_model(known, tmp_path, monkeypatch, caplog):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    settings = ModelConfig(name=NAME, max_seq_length=128)
    assert locations.local_model(settings) is None
    assert require_model(settings) == settings
    directory = tmp_path / "cache" / "stonk-pipeline" / "models" / NAME
    assert locations.base_location(settings) == str(directory) == str(locations.local_model(settings))
    assert [path.name for path in directory.parent.iterdir()] == [NAME]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "fetching Smallest (1 MB) through pip, once, into" in said
    assert said.endswith("Its licence: its own")
    network, tokenizer = AutoModelForCausalLM.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)
    assert str(network.dtype) == "torch.bfloat16"
    assert tuple(tokenizer(SAMPLE)["input_ids"]) == known.conversion.sample
    assert tokenizer.decode(known.conversion.sample) == SAMPLE
    assert network.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids(END) == 0
    assert not locations.on_hub(settings)

    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))  # it is not fetched again
    assert made(NAME) == directory
    (directory / "tokenizer.json").write_text((directory / "tokenizer.json").read_text() + " ")
    with pytest.raises(errors.DownloadError, match="pip cannot fetch it"):
        made(NAME)
    assert "its files are damaged or of another version; fetching" in caplog.text


def test_made_says_what_to_do_where_there_is_no_wheel(known, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(
        errors.DownloadError,
        match=r"^smallest-model-part0 1\.0\.0, smallest-model-part1 1\.0\.0: pip cannot fetch it \(No matching .*; try "
        r"again with a connection to pip's package index, or .* \(export PIP_FIND_LINKS=FOLDER\)$",
    ):
        made(NAME)
    assert list(packaged.place(NAME).parent.iterdir()) == []


def test_made_takes_no_other_wheel_of_the_name(known, monkeypatch):
    first, second = known.wheels
    monkeypatch.setitem(PACKAGED, NAME, replace(known, wheels=(first, replace(second, sha256="0" * 64))))
    with pytest.raises(errors.ConfigError, match="is not the file that this project knows"):
        made(NAME)


def test_made_takes_no_other_file_in_the_wheels(known, monkeypatch):
    monkeypatch.setitem(PACKAGED, NAME, replace(known, source="0" * 64))
    with pytest.raises(errors.ConfigError, match=r"model\.gguf, which they hold, is damaged"):
        made(NAME)


@pytest.mark.parametrize(
    ("finder", "module", "message"),
    [(importlib.util, "gguf", r"its extra small-model"), (PathFinder, "pip", "ensurepip")],
)
def test_made_says_which_library_is_missing(known, monkeypatch, finder, module, message):
    find = finder.find_spec
    monkeypatch.setattr(finder, "find_spec", lambda name, *more: None if name == module else find(name, *more))
    with pytest.raises(errors.EngineError, match=message):
        made(NAME)


def test_a_process_that_has_looked_for_pip_can_still_import_what_needs_setuptools():
    code = "from stonk_pipeline.models.wheels import has_pip; assert has_pip(); import setuptools"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, check=False).returncode == 0


def test_packaged_models_have_no_revisions():
    with pytest.raises(errors.ConfigError, match=r"^model\.revision: smollm2 is no model of huggingface\.co"):
        require_model(ModelConfig(name="smollm2", revision="main"))


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_model_has_a_recipe_of_its_name(name):
    parser = argparse.ArgumentParser()
    options.add_config_options(parser)
    config = options.resolve_config(parser.parse_args(["--model", name]))
    assert (config.recipe, config.model.name) == (name, name)
    assert config.model.knowledge_cutoff is not None
