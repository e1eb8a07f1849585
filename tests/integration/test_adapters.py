"""What saved adapters and exported models are worth without this project, to plain PEFT, transformers and vLLM."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from preprocessing import reading
from stonk_pipeline.cli import main
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.forecast import question, tiny
from stonk_pipeline.contracts.forecast.sections import SamplingConfig
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.errors import UnknownModelError
from stonk_pipeline.models import load
from stonk_pipeline.models.tiny import NUMBERS
from stonk_pipeline.pipeline.base_model import settled
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.sampling.engines import Draws, TransformersEngine, VllmEngine, open_engine
from stonk_pipeline.sampling.known import cpu_head_sizes, takes_adapters
from stonk_pipeline.sampling.prompts import render
from tests.tiny_models import SHAPE, random_model

NAMES = {"grpo_lora_1st": "grpo_1st", "sft_lora": "sft", "grpo_lora_2nd": "grpo_2nd"}


def prompts_of(run: Run, tokenizer: object) -> list[str]:
    """The comparison's prompts, in its order."""
    config = run.config
    windows, targets = reading.read_split(run.stage_dir("preprocess"), "test")
    windows, _ = reading.spread(windows, targets, config.comparison.windows, config.seed)
    asked = [question.messages(window, config.prompt, config.data.horizon) for window in windows]
    room, limit = config.comparison.max_tokens, config.model.max_seq_length
    return render(tokenizer, asked, room=room, limit=limit, shorter=question.SHORTER)


@pytest.mark.parametrize("name", NAMES)
def test_published_adapter_gives_the_forecasts_of_the_comparison(small_run: Run, name: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(tiny.DIRECTORY, dtype="float32")
    adapted = PeftModel.from_pretrained(base, str(small_run.models_dir / name)).merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(small_run.models_dir / name)
    tokenizer.padding_side = "left"
    config = small_run.config.comparison
    texts = TransformersEngine(adapted, tokenizer).sample(
        prompts_of(small_run, tokenizer),
        Draws(config.samples, config.temperature, config.top_p, config.max_tokens, small_run.config.seed),
    )
    reported = pq.read_table(small_run.stage_dir("compare") / "forecasts" / f"{NAMES[name]}.parquet")
    assert [text for of_window in texts for text in of_window] == reported["completion"].to_pylist()


def greedy(n: int) -> Draws:
    return Draws(n, temperature=0.0, top_p=1.0, max_tokens=56, seed=0)


def test_transformers_engine_answers_as_plain_generate_does(small_run: Run) -> None:
    engine = TransformersEngine(*load.load_merged(small_run.config.model, small_run.models_dir / "sft_lora"))
    prompts = prompts_of(small_run, engine.tokenizer)[:12]
    for prompt, texts in zip(prompts, engine.sample(prompts, greedy(2)), strict=True):
        ids = engine.tokenizer(prompt, return_tensors="pt")  # alone, so without padding or a shared prompt
        whole = engine.network.generate(**ids, max_new_tokens=56, do_sample=False)
        alone = engine.tokenizer.decode(whole[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        assert texts == [alone, alone]


@pytest.fixture(scope="module")
def exported(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fine-tuned model of the small run, by the adapter that it published."""
    out = tmp_path_factory.mktemp("exported") / "sft"
    assert main(["export", "--adapter", str(small_run.models_dir / "sft_lora"), "--out", str(out)]) == 0
    return out


def test_exported_model_answers_as_base_and_adapter(small_run: Run, exported: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(tiny.DIRECTORY, dtype="float32")
    adapted = PeftModel.from_pretrained(base, str(small_run.models_dir / "sft_lora"))
    own = AutoModelForCausalLM.from_pretrained(exported, dtype="auto")
    tokenizers = [AutoTokenizer.from_pretrained(place) for place in (tiny.DIRECTORY, exported)]
    for prompt in prompts_of(small_run, tokenizers[0])[:4]:
        said = []
        for network, tokenizer in zip((adapted, own), tokenizers, strict=True):
            ids = tokenizer(prompt, return_tensors="pt")
            whole = network.generate(**ids, max_new_tokens=56, do_sample=False)
            said.append(tokenizer.decode(whole[0, ids["input_ids"].shape[1] :]))
        assert said[0] == said[1]
    comparison = small_run.config.comparison
    assert (own.generation_config.temperature, own.generation_config.max_new_tokens) == (
        comparison.temperature,
        comparison.max_tokens,
    )
    assert "the verdict of its run is on a later one" in (exported / "README.md").read_text(encoding="utf-8")


def test_export_of_a_run_says_how_well_its_last_model_did_and_how_to_ask_it(
    small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "last"
    assert main(["export", "--run-dir", str(small_run.directory), "--out", str(out)]) == 0
    limit = small_run.config.model.max_seq_length
    assert f"to serve it:\n    vllm serve {out} --max-model-len {limit} --dtype float32\n" in capsys.readouterr().out
    card = (out / "README.md").read_text(encoding="utf-8")
    verdict = json.loads((small_run.stage_dir("compare") / "verdict.json").read_text(encoding="utf-8"))
    assert f"**{verdict['sentence']}**" in card
    assert "the best numeric baseline | skill" in card
    assert "Generated bars (predictable market" in card
    windows, _ = reading.read_split(small_run.stage_dir("preprocess"), "test")
    asked = question.messages(windows[0], small_run.config.prompt, small_run.config.data.horizon)
    assert all(f"```text\n{message['content']}\n```" in card for message in asked)
    assert "| `lora.rank` | 8 |" in card
    assert str(small_run.directory) not in card  # a card is published, and paths of this machine are nobody's
    kept = out / "mine.txt"
    kept.write_text("x")
    assert main(["export", "--run-dir", str(small_run.directory), "--out", str(out)]) == 1
    assert "not made by a merge; move it away" in capsys.readouterr().err
    assert kept.read_text() == "x"


def test_vllm_with_the_adapter_agrees_with_peft(small_run: Run, exported: Path, tmp_path: Path) -> None:
    import vllm
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    adapter = small_run.models_dir / "sft_lora"
    model = small_run.config.model
    engine = TransformersEngine(*load.load_merged(model, adapter))
    prompts = prompts_of(small_run, engine.tokenizer)[:24]
    expected = [texts[0] for texts in engine.sample(prompts, greedy(1))]

    own = ModelConfig(name=str(exported), max_seq_length=model.max_seq_length)
    merged = VllmEngine(own, None, seed=0, scratch=tmp_path)
    assert merged._llm.get_default_sampling_params().max_tokens == small_run.config.comparison.max_tokens
    by_merged = [texts[0] for texts in merged.sample(prompts, greedy(1))]
    # The arithmetic of the two engines differs in the last bits, which can tip one token between two equals.
    assert sum(a == b for a, b in zip(expected, by_merged, strict=True)) >= 22

    plain = vllm.LLM(
        model=str(tiny.DIRECTORY),
        enable_lora=True,
        max_lora_rank=8,
        dtype="float32",
        max_model_len=320,
        enforce_eager=True,
    )
    outputs = plain.generate(
        prompts,
        SamplingParams(temperature=0.0, max_tokens=56),
        lora_request=LoRARequest("sft", 1, str(adapter)),
        use_tqdm=False,
    )
    assert sum(a == out.outputs[0].text for a, out in zip(expected, outputs, strict=True)) >= 22
    # Every library must see the same ids: transformers rebuilds the tokenizer of a qwen2 model with its own rules.
    for prompt in prompts:
        assert plain.get_tokenizer()(prompt)["input_ids"] == engine.tokenizer(prompt)["input_ids"]


def test_a_model_that_vllm_has_no_code_for_is_asked_by_transformers_or_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPTNeoConfig

    config = GPTNeoConfig(**SHAPE, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]])
    model = ModelConfig(name=str(random_model(tmp_path / "neo", config)), max_seq_length=320)
    with pytest.raises(UnknownModelError, match=r"vLLM cannot run this model .*GPTNeo.*; set sampling\.engine"):
        open_engine("vllm", model, None, seed=0, scratch=tmp_path, wanted="vllm")
    with pytest.raises(UnknownModelError, match=r"vLLM cannot run this model .*GPTNeo.*; set sampling\.engine"):
        settled(PipelineConfig(model=model, sampling=SamplingConfig(engine="vllm")))
    engine = open_engine("vllm", model, None, seed=0, scratch=tmp_path, wanted="auto")
    assert engine.name == "transformers"
    GPT2Config(**SHAPE, architectures=["GPT2LMHeadModel"]).save_pretrained(tmp_path)
    assert takes_adapters(str(tiny.DIRECTORY))
    assert not takes_adapters(str(tmp_path))


def test_cpu_head_sizes_are_those_of_vllm() -> None:
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    assert cpu_head_sizes() == set(CPUAttentionBackend.get_supported_head_sizes())


def test_trainers_see_the_same_ids_as_auto_tokenizer(small_run: Run) -> None:
    from transformers import AutoTokenizer

    config = small_run.config
    auto = AutoTokenizer.from_pretrained(tiny.DIRECTORY)
    prompts = prompts_of(small_run, auto)
    loaded = load.load_for_training(ModelConfig(backend="unsloth", max_seq_length=320), config.lora, 0)
    assert loaded.backend == "unsloth"
    assert loaded.tokenizer(prompts)["input_ids"] == auto(prompts)["input_ids"]


def test_tiny_tokenizer_takes_the_phrases_of_the_contract_as_single_tokens() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.DIRECTORY)
    for text in (*tiny.PHRASES, *NUMBERS):
        assert len(tokenizer(text)["input_ids"]) == 1, text
