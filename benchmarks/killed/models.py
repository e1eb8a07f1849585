"""Writers of adapters: the registry, and the publication at a stage's end."""

import json
import random
import shutil
from pathlib import Path

from killed.steps import Facts, Step, Writer, missing
from stonk_pipeline.config.base import Settings
from stonk_pipeline.contracts.forecast.sections import GRPOStage
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.forecast.steps import STEPS as FORECAST
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.pipeline.publishing import publish_missed
from stonk_pipeline.registry.entries import describe
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import Stage, execute, output_files
from tests.unit.registry.test_registry import trained_run


class _Models(Writer):
    files = r"models/registry/[^/]+/[^/]+/(\.lock|champion\.json|entries/\w+/(entry\.json|adapter/[\w.]+))"

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.registry = Registry(folder / "models", folder / "forecasts")
        self.run = trained_run(folder.parent / f"{folder.name}-runs", "run", 0.5)
        self.key = describe(self.run).key
        for _ in range(3):
            self.train()
            self.registry.register(self.run)

    def train(self) -> None:
        """Another adapter for the run, so that it is another model."""
        self.number += 1
        name = f"model {self.number}"

        def body(config: object, inputs: object, out: Path, progress: object) -> dict[str, int]:
            (out / "adapter").mkdir()
            for file in ("adapter_config.json", "adapter_model.safetensors"):
                (out / "adapter" / file).write_text(json.dumps({"name": name, "file": file}))
            return {"steps": 1}

        shutil.rmtree(self.run.stage_dir("grpo-second"))
        inputs = {"dataset": self.run.stage_dir("preprocess")}
        settings = self.run.config.grpo_stage("second")
        execute(Stage("grpo", GRPOStage, body), settings, inputs, self.run.stage_dir("grpo-second"))

    def facts(self) -> Facts:
        found: Facts = {}
        for entry in self.registry.entries():
            whole = None if entry.pruned else output_files(self.registry.adapter(entry))
            found[entry.id] = (entry.model_copy(update={"pruned": None}), whole)
        champions = self.registry.champions(self.key)
        for number, change in enumerate(champions.history):
            found[f"change {number}"] = change
        found["line"] = champions.line
        champion = self.registry.champion(self.key)
        if champion is not None:
            self.registry.adapter(champion)
        return found


class Register(_Models):
    """A new model, again and again."""

    name = "registry: register"

    def step(self) -> Step:
        """Registers a new model, or one anew that was pruned."""
        if self.rng.random() < 0.3:
            self.registry.prune(self.key, keep=0)
        else:
            self.train()
        entry = describe(self.run)

        def after(facts: Facts) -> str | None:
            there = facts.get(entry.id)
            if not isinstance(there, tuple) or there[1] != entry.adapter:
                return f"{entry.id} is not registered"
            return None

        return Step(lambda: self.registry.register(self.run), after, frozenset({entry.id}))


class Promote(_Models):
    """One of three models becomes champion, or the one before it again."""

    name = "registry: promote, roll back"

    def step(self) -> Step:
        """Changes the champion."""
        before = self.registry.champions(self.key)
        changes = frozenset({"line", f"change {len(before.history)}"})
        if len(before.line) > 1 and self.rng.random() < 0.3:

            def back() -> None:
                if self.registry.champions(self.key).line == before.line:
                    self.registry.rollback(self.key, "x")

            return Step(back, missing("line", before.line[:-1]), changes)
        entry = self.rng.choice([entry for entry in self.registry.entries() if entry.id != before.current])
        return Step(
            lambda: self.registry.promote(entry, "forced", "x"), missing("line", (*before.line, entry.id)), changes
        )


class Prune(_Models):
    """One to three new models, of which none to two may stay."""

    name = "registry: prune"

    def step(self) -> Step:
        """Deletes the adapters of the oldest models."""
        for _ in range(self.rng.randint(1, 3)):
            self.train()
            self.registry.register(self.run)
        known = self.registry.entries()
        self.registry.promote(known[-1], "forced", "x")
        keep = self.rng.randint(0, 2)
        old = frozenset(entry.id for entry in self.registry.prune(self.key, keep, dry_run=True))

        def after(facts: Facts) -> str | None:
            there = {path.parent.name for path in self.registry.root.glob("*/*/entries/*/adapter")} & old
            marked = {entry.id for entry in self.registry.entries() if entry.pruned}
            return f"{there} is still there" if there else f"{old - marked} has no mark" if old - marked else None

        return Step(lambda: self.registry.prune(self.key, keep), after, old)


class Publication(Writer):
    """Another adapter in the place of the one before."""

    name = "adapters: publish"
    files = r"models/[^/]+/(\.[^/]+\.lock|[^/]+/sft_lora/(origin\.json|weights|deeper/more))"

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.run = write_run(folder.parent / f"{folder.name}-run", PipelineConfig(models_dir=str(folder / "models")))
        self.train()
        publish_missed(self.run, "sft")

    def train(self) -> None:
        """Another adapter for the run."""
        self.number += 1
        text = f"adapter {self.number} " * 1000

        def body(config: object, inputs: object, out: Path, progress: object) -> dict[str, int]:
            for name in ("weights", "deeper/more"):
                (out / "adapter" / name).parent.mkdir(parents=True, exist_ok=True)
                (out / "adapter" / name).write_text(text)
            return {}

        shutil.rmtree(self.run.stage_dir("sft"), ignore_errors=True)
        execute(Stage("stage2_sft_training", Settings, body), Settings(), {}, self.run.stage_dir("sft"))

    def step(self) -> Step:
        """Publishes a new adapter."""
        self.train()
        wanted = output_files(self.run.stage_dir("sft") / "adapter")

        def after(facts: Facts) -> str | None:
            there = facts["adapter"]
            assert isinstance(there, dict)
            return None if wanted.items() <= there.items() else "the new adapter is not there"

        return Step(lambda: publish_missed(self.run, "sft"), after, frozenset({"adapter"}))

    def facts(self) -> Facts:
        """The adapter, which is whole: an earlier one or a new one, and never none or a mixture."""
        target = self.run.models_dir / FORECAST["sft"].publishes
        found = output_files(target)
        weights = found.get("weights")
        assert set(found) == {"weights", "deeper/more", "origin.json"}, f"{target} holds {sorted(found)}"
        assert weights == found["deeper/more"], f"{target} is a mixture"
        return {"adapter": found}
