"""Every family of models through the whole of it: asked, taught, trained, saved, merged, in the same tokens everywhere.

The fast part is what trainers, engines and adapters see of a model; `--long` trains each one and asks vLLM.
"""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stonk_pipeline.config.training import LoraConfig, ModelConfig, SFTConfig, SFTStage
from stonk_pipeline.contracts.forecast.sections import GRPOConfig
from stonk_pipeline.errors import UnknownModelError
from stonk_pipeline.models.load import ADAPTER, Loaded, cuda, load_for_training, load_merged, save_adapter
from stonk_pipeline.models.readiness import require_model
from stonk_pipeline.models.templates import PLAIN
from stonk_pipeline.sampling.engines import Draws, TransformersEngine, VllmEngine
from stonk_pipeline.sampling.prompts import render, token_ids
from stonk_pipeline.training import sft
from stonk_pipeline.training.kept_answers import IGNORED, lessons
from stonk_pipeline.training.lesson import HeldOut, Lesson
from stonk_pipeline.training.policy import train
from tests.families import ANSWER, ASKED, FAMILIES, Family, build

LORA = LoraConfig(rank=2)
ROOM = 40
GREEDY = Draws(n=1, temperature=0.0, top_p=1.0, max_tokens=12, seed=0)
NOT_ON_CPU = ("gpt-oss",)
"""What vLLM's build for CPUs cannot run in 32 bits (0.30)."""
SHORTER = [ASKED[0], {"role": "user", "content": "Closes: [99.0]"}]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Family], ModelConfig]:
    """Settings of the model of a family, which is built once."""
    made: dict[str, Path] = {}

    def settings(family: Family) -> ModelConfig:
        if family.name not in made:
            made[family.name] = build(family, tmp_path_factory.mktemp("families") / family.name)
        return ModelConfig(name=str(made[family.name]), backend="peft", max_seq_length=600)

    return settings


def prompts_of(tokenizer: Any) -> list[str]:
    return render(tokenizer, [ASKED, SHORTER], room=ROOM, limit=600, shorter="")


def trained(model: ModelConfig, out: Path) -> Loaded:
    """A model with an adapter of random numbers, which is saved to `out`."""
    import torch

    loaded = load_for_training(model, LORA, 0)
    for parameter in (part for name, part in loaded.model.named_parameters() if "lora_B" in name):
        torch.nn.init.normal_(parameter, std=0.3)
    save_adapter(loaded, model, out)
    return loaded


def alone(model: ModelConfig, adapter: Path, ends: list[int]) -> list[list[int]]:
    """The answers to both questions by plain transformers and PEFT, with what lies beside the adapter."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(adapter)
    base = AutoModelForCausalLM.from_pretrained(model.name, dtype="float32")
    network = PeftModel.from_pretrained(base, str(adapter)).eval()
    answers = []
    for talk in (ASKED, SHORTER):
        asked = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=True, return_tensors="pt")
        given = {name: asked[name] for name in ("input_ids", "attention_mask")}
        whole = network.generate(**given, max_new_tokens=GREEDY.max_tokens, do_sample=False, eos_token_id=ends)
        answers.append(whole[0, asked["input_ids"].shape[1] :].tolist())
    return answers


@each_family
def test_a_family_is_asked_and_taught_in_the_same_tokens_and_its_adapter_is_worth_the_same_elsewhere(
    built: Callable[[Family], ModelConfig], tmp_path: Path, family: Family
) -> None:
    import torch

    model = require_model(built(family))
    loaded = trained(model, tmp_path / "adapter")
    tokenizer, chat = loaded.tokenizer, loaded.chat

    prompts = prompts_of(tokenizer)
    asked = token_ids(tokenizer, prompts)  # as both engines have them
    by_trainer = tokenizer.apply_chat_template([ASKED, SHORTER], add_generation_prompt=True, return_dict=True)
    assert by_trainer["input_ids"] == asked
    assert all(message["content"] in prompts[0] for message in ASKED)
    first = [tokenizer.convert_ids_to_tokens(ids[:2]) for ids in asked]
    assert [tokens.count(family.begins) for tokens in first] == [int(bool(family.begins))] * 2
    assert not family.begins or [tokens[0] for tokens in first] == [family.begins] * 2
    assert (len(tokenizer("1")["input_ids"]) > len(token_ids(tokenizer, ["1"])[0])) == family.puts_bos

    assert tokenizer.convert_ids_to_tokens(chat.end) == family.end
    answer = chat.opening + ANSWER.removeprefix("<think>") if chat.opening else ANSWER
    (lesson,) = lessons(chat, [{"prompt": ASKED, "completion": answer}], 600)
    assert lesson["input_ids"] == asked[0] + chat.write(answer)
    assert lesson["labels"] == [IGNORED] * len(asked[0]) + chat.write(answer)
    assert chat.write(answer).count(chat.end) == 1
    assert chat.read(chat.write(answer)).strip() == answer

    engine = TransformersEngine(loaded.model, tokenizer)
    drawn = [row[0] for row in engine.draw(prompts, GREEDY)]
    for ids in drawn:  # what was sampled is taught in its own tokens
        assert chat.taught(chat.read(ids), ids) == (ids if ids[-1] in chat.ends else [*ids, chat.end])
    merged, its_tokenizer = load_merged(model, tmp_path / "adapter")
    assert [row[0] for row in TransformersEngine(merged, its_tokenizer).draw(prompts, GREEDY)] == drawn
    assert alone(model, tmp_path / "adapter", list(chat.ends)) == drawn
    with torch.no_grad():
        first = torch.tensor([asked[0]])
        torch.testing.assert_close(merged.eval()(first).logits, loaded.model.eval()(first).logits, atol=1e-3, rtol=1e-3)
    saved = (tmp_path / "adapter" / "chat_template.jinja").read_text(encoding="utf-8")
    assert saved == tokenizer.chat_template
    assert (PLAIN in saved) == (family.template is None)


# The long part


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the trainers compute their loss of, written down on the way."""
    import trl

    seen: list[dict[str, Any]] = []

    def noting(compute: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> Any:
            seen.append({name: value.tolist() for name, value in inputs.items() if hasattr(value, "tolist")})
            return compute(self, model, inputs, *rest, **more)

        return wrapped

    monkeypatch.setattr(trl.SFTTrainer, "compute_loss", noting(trl.SFTTrainer.compute_loss))
    monkeypatch.setattr(trl.GRPOTrainer, "compute_loss", noting(trl.GRPOTrainer.compute_loss))
    return seen


def examples(directory: Path, answer: str) -> Path:
    """24 kept answers, of as many days."""
    directory.mkdir()
    with (directory / "X_sft_training_data.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ("date", "prompt", "completion", "tokens"))
        writer.writeheader()
        for day in range(1, 25):
            prompt = json.dumps(ASKED if day % 2 else SHORTER)
            writer.writerow({"date": f"2020-01-{day:02d}", "prompt": prompt, "completion": answer, "tokens": "[]"})
    return directory


@pytest.mark.long
@each_family
def test_a_step_of_fine_tuning_has_its_loss_on_the_answer_and_its_end(
    built: Callable[[Family], ModelConfig], tmp_path: Path, batches: list[dict[str, Any]], family: Family
) -> None:
    model = built(family)
    network, tokenizer = load_merged(model, None)
    chat = TransformersEngine(network, tokenizer).chat
    answer = chat.opening + ANSWER.removeprefix("<think>") if chat.opening else ANSWER
    settings = SFTConfig(epochs=0.5, batch_size=16, micro_batch=4, evaluations=1, learning_rate=1e-2, warmup_steps=0)
    config = SFTStage(model=model, lora=LORA, sft=settings, seed=0)
    out = tmp_path / "out"
    numbers = sft.run(config, {"examples": examples(tmp_path / "examples", answer)}, out, lambda *_: None)
    assert numbers["steps"] == 1 and math.isfinite(numbers["val_loss"])
    asked = token_ids(tokenizer, prompts_of(tokenizer))
    assert len(batches) >= 4
    for batch in batches:
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            whole = [token for token, there in zip(ids, mask, strict=True) if there]
            assert whole in [prompt + chat.write(answer) for prompt in asked]
            taught = [place for place, label in enumerate(labels) if label != IGNORED]
            assert [labels[place] for place in taught] == [ids[place] for place in taught] == chat.write(answer)
    merged, _ = load_merged(model, out / ADAPTER)
    drawn = [row[0] for row in TransformersEngine(merged, tokenizer).draw(prompts_of(tokenizer), GREEDY)]
    assert alone(model, out / ADAPTER, list(chat.ends)) == drawn


@pytest.mark.long
@each_family
def test_a_step_of_grpo_trains_on_the_tokens_that_were_asked_and_drawn(
    built: Callable[[Family], ModelConfig], tmp_path: Path, batches: list[dict[str, Any]], family: Family
) -> None:
    model = built(family)
    loaded = load_for_training(model, LORA, 0)
    answers: list[str] = []

    def read(text: str, truth: float) -> str:
        answers.append(text)
        return text

    lesson = Lesson(
        asked=[ASKED, SHORTER],
        truths=[1.0, 2.0],
        read=read,
        reasons={},
        rewards={"variety": lambda answer, truth: float(len(set(str(answer))))},
        weights={"variety": 1.0},
        logged=(),
        describe={},
        held_out=HeldOut(prompts_of(loaded.tokenizer), [1.0, 2.0], ("a", "b"), lambda _: {"a": 0, "b": 0}, lambda _: 0),
    )
    steps = {"steps": 1, "prompts_per_step": 2, "group_size": 4, "micro_batch": 8, "save_steps": 1}
    grpo = GRPOConfig(**steps, max_completion_length=12, learning_rate=1e-2, warmup_steps=0, validation_samples=1)
    assert train(model, grpo, loaded, lesson, 0, tmp_path, lambda *_: None)["steps"] == 1
    asked = token_ids(loaded.tokenizer, prompts_of(loaded.tokenizer))
    chat, texts = loaded.chat, []
    for batch in batches:
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        for prompt, there, drawn, counted in zip(*(batch[name] for name in names), strict=True):
            assert [token for token, mask in zip(prompt, there, strict=True) if mask] in asked
            ids = [token for token, mask in zip(drawn, counted, strict=True) if mask]
            assert not set(ids[:-1]) & set(chat.ends)
            assert ids[-1] in chat.ends or len(ids) == 12
            texts.append(chat.read(ids))
    assert len(texts) == 8 and set(texts) <= set(answers)
    merged, _ = load_merged(model, tmp_path / ADAPTER)
    drawn = [row[0] for row in TransformersEngine(merged, loaded.tokenizer).draw(prompts_of(loaded.tokenizer), GREEDY)]
    assert alone(model, tmp_path / ADAPTER, list(chat.ends)) == drawn


def is_dense(family: Family) -> bool:
    """vLLM makes the groups of experts with the first engine of a process, or never: theirs come first."""
    return "experts" not in family.quirks


@pytest.mark.long
@pytest.mark.parametrize("family", sorted(FAMILIES, key=is_dense), ids=lambda family: family.name)
def test_vllm_answers_as_transformers_does(
    built: Callable[[Family], ModelConfig], tmp_path: Path, family: Family
) -> None:
    model = built(family)
    trained(model, tmp_path / "adapter")
    network, tokenizer = load_merged(model, tmp_path / "adapter")
    expected = TransformersEngine(network, tokenizer).draw(prompts_of(tokenizer), GREEDY)
    try:
        engine = VllmEngine(model, tmp_path / "adapter", seed=0, scratch=tmp_path)
    except UnknownModelError as error:  # in one line, when it is started and not at some answer
        assert family.name in NOT_ON_CPU and not cuda() and "\n" not in str(error)
        return
    assert engine.chat.ends == TransformersEngine(network, tokenizer).chat.ends
    assert engine.draw(prompts_of(engine.tokenizer), GREEDY) == expected
