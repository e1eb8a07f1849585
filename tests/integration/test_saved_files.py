"""The same adapter gives the same files, whichever process saves it: what follows from them stays done."""

import json
import os
import subprocess
import sys
from pathlib import Path

from stonk_pipeline.models.adapters import read_adapter
from stonk_pipeline.runs.manifest import output_files

SAVE = """
import sys
from pathlib import Path
from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.models import load as models
model = ModelConfig(backend="peft", max_seq_length=320)
loaded = models.load_for_training(model, LoraConfig(rank=4), 0)
models.save_adapter(loaded, model, Path(sys.argv[1]))
models.save_adapter(loaded, model.model_copy(update={"revision": "0" * 40}), Path(sys.argv[1] + "-of-the-hub"))
"""


def test_save_adapter_writes_the_same_files_in_every_process(tmp_path: Path) -> None:
    for seed in ("1", "2"):  # of Python's hashes, and so of the order of sets
        settings = os.environ | {"PYTHONHASHSEED": seed, "HF_HUB_OFFLINE": str(int(seed) - 1)}
        subprocess.run([sys.executable, "-c", SAVE, str(tmp_path / seed)], env=settings, check=True)
    assert output_files(tmp_path / "1") == output_files(tmp_path / "2")
    said = json.loads((tmp_path / "1" / "adapter_config.json").read_text())
    assert said["target_modules"] == sorted(said["target_modules"])
    assert said["revision"] is None
    assert read_adapter(tmp_path / "1-of-the-hub").revision == "0" * 40
