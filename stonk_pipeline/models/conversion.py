"""Converts a language model from one GGUF file into an ordinary model directory, and checks what came out.

    python -m stonk_pipeline.models.conversion '{"spelling": "bytes", …}' model.gguf DIRECTORY

transformers reads the weights, which are given back their full width from four to eight bits a number. The tokenizer is
built here from the file's vocabulary: what transformers makes of it cuts Gemma's words into letters, and does not take
SmolLM2's digits one by one.
"""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from stonk_pipeline.errors import PipelineError, StageError
from stonk_pipeline.files.weights import read_header, weight_files

CONTROL, OWN = 3, 4
"""Types of a token in GGUF: one that steers the model, and one that is taken whole wherever it stands."""
UNKNOWN = "<unk>"
SAMPLE = "The close was 101.25, up 3% in 2 days; what's next?\n"


@dataclass(frozen=True)
class Conversion:
    """What a GGUF file is to become."""

    spelling: Literal["bytes", "pieces"]
    """How the tokenizer spells: byte-level BPE, or SentencePiece's pieces with a score each."""
    begin: str | None
    """The special token at the beginning of each text, if there is one."""
    end: str
    """The special token at the end of an answer."""
    pad: str
    """The special token beside shorter texts of a batch."""
    sample: tuple[int, ...]
    """Tokens of `SAMPLE`."""
    weights: str
    """SHA-256 of the converted weights; see `weights_digest`."""

    def to_text(self) -> str:
        """Writes it as JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Reads what `to_text` wrote."""
        said = json.loads(text)
        return cls(**(said | {"sample": tuple(said["sample"])}))


def convert(model: Conversion, source: Path, out: Path) -> None:
    """Writes a model directory: weights in bfloat16, settings, tokenizer, and the chat template if there is one.

    Args:
        model: what it is to become.
        source: the GGUF file.
        out: an empty folder.

    Raises:
        StageError: the tokenizer spells the sample otherwise, or the weights are not those known.
    """
    tokenizer = _tokenizer(model, source)
    ids = tuple(tokenizer(SAMPLE)["input_ids"])
    if ids != model.sample:
        raise StageError(f"its tokenizer spells the sample as {list(ids)}, which should be {list(model.sample)}")
    tokenizer.save_pretrained(out)
    _save_weights(source, out, tokenizer)
    digest = weights_digest(out)
    if digest != model.weights:
        raise StageError(f"its weights have the digest {digest}, which should be {model.weights}")


def _save_weights(source: Path, out: Path, tokenizer: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    config = read.config
    if hasattr(config, "quantization_config"):  # they are plain numbers now
        del config.quantization_config
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    config.pad_token_id, config.dtype = tokenizer.pad_token_id, torch.bfloat16
    config._name_or_path = ""
    config.__dict__.pop("_model_name_or_path", None)  # a title that the file has
    network = AutoModelForCausalLM.from_config(config)  # which knows of no quantisation
    network.load_state_dict(read.state_dict())
    network.to(torch.bfloat16)
    network.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    network.save_pretrained(out)


def _tokenizer(model: Conversion, source: Path) -> Any:
    """Builds the tokenizer of a GGUF file as transformers keeps it."""
    from gguf import GGUFReader
    from transformers import PreTrainedTokenizerFast

    fields = {
        name: field.contents() for name, field in GGUFReader(source).fields.items() if name.startswith("tokenizer.")
    }
    pieces, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    made = _of_bytes(pieces, fields) if model.spelling == "bytes" else _of_pieces(pieces, fields, model)
    made.add_special_tokens([piece for piece, kind in zip(pieces, kinds, strict=True) if kind == CONTROL])
    made.add_tokens(_whole([piece for piece, kind in zip(pieces, kinds, strict=True) if kind == OWN]))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=model.begin,
        eos_token=model.end,
        pad_token=model.pad,
        unk_token=UNKNOWN if UNKNOWN in pieces else None,
        clean_up_tokenization_spaces=False,
    )
    template = fields.get("tokenizer.chat_template")
    if template:
        tokenizer.chat_template = template
    return tokenizer


def _whole(pieces: list[str]) -> list[Any]:
    from tokenizers import AddedToken

    return [AddedToken(piece, normalized=False, special=False) for piece in pieces]


def _of_bytes(pieces: list[str], fields: dict[str, Any]) -> Any:
    """Byte-level BPE that takes digits one by one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    return made


def _of_pieces(pieces: list[str], fields: dict[str, Any], model: Conversion) -> Any:
    """SentencePiece's BPE: of two neighbours, those are joined first whose join has the best score."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers.tokenization_utils_base import generate_merges

    places = {piece: number for number, piece in enumerate(pieces)}
    scores = dict(zip(pieces, fields["tokenizer.ggml.scores"], strict=True))
    kinds = fields["tokenizer.ggml.token_type"]
    skipped = [piece for piece, kind in zip(pieces, kinds, strict=True) if kind in (CONTROL, OWN)]
    merges = generate_merges(places, scores, skipped)
    made = Tokenizer(models.BPE(vocab=places, merges=merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    if model.begin is not None:
        made.post_processor = processors.TemplateProcessing(
            single=f"{model.begin} $A", special_tokens=[(model.begin, places[model.begin])]
        )
    return made


def weights_digest(directory: Path) -> str:
    """Computes the SHA-256 of a model's tensors, by their names, whatever files and order they lie in."""
    digest = hashlib.sha256()
    tensors = {name: (path, tensor) for path in weight_files(directory) for name, tensor in read_header(path).items()}
    for name, (path, tensor) in sorted(tensors.items()):
        digest.update(f"{name} {tensor.kind} {list(tensor.shape)}\n".encode())
        with path.open("rb") as stream:
            stream.seek(tensor.start)
            digest.update(stream.read(tensor.stop - tensor.start))
    return digest.hexdigest()


def main(arguments: list[str]) -> int:
    """Runs `convert` with the words of a command line; what fails is the last line on standard error."""
    model, source, out = arguments
    try:
        convert(Conversion.of_text(model), Path(source), Path(out))
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
