"""Manifests as stages write them, for directories whose files a test has put together by other means."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline.runs.manifest import MANIFEST, Manifest, json_digest, output_files, read_manifest, write_atomic

ABOUT = {"versions": {"torch": "2.9.0", "pandas": "3.1.1"}, "git_commit": "0123456789ab+", "seed": 0}


def seal(directory: Path, config: Any = None, needs: Mapping[str, Path] | None = None, **about: Any) -> Path:
    """Writes a stage's manifest over the files that lie there; an older one is kept but for them.

    Args:
        directory: of the stage.
        config: its settings.
        needs: input name -> directory of a sealed stage.
        about: other fields of the manifest.
    """
    outputs = output_files(directory)
    made = {"outputs": outputs, "digest": json_digest(outputs)}
    if (directory / MANIFEST).is_file():
        manifest = read_manifest(directory).model_copy(update=made | about)
    else:
        inputs = {name: read_manifest(path).digest for name, path in (needs or {}).items()}
        fields = {"stage": directory.name, "fingerprint": "0" * 64, "inputs": inputs, "numbers": {}, "seconds": 75.0}
        fields |= {"config": {} if config is None else config.model_dump(mode="json")}
        fields |= {"finished": "2025-01-02T03:04:05Z"}
        manifest = Manifest(**(fields | ABOUT | made | about))
    write_atomic(directory / MANIFEST, manifest.sealed().model_dump_json(indent=2))
    return directory
