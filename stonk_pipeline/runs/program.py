"""Names the commands that a message tells a person to enter: those of a checkout, or those of the installed program."""

import os
from pathlib import Path

from stonk_pipeline import PACKAGE
from stonk_pipeline.errors import StartError

PACKAGES = ("flows", "tasks", "preprocessing", "stonk_pipeline")
INSTALLED = "STONK_INSTALLED"
"""1 in the processes of the installed program, which is called `stonk-pipeline` wherever it is started."""


def pipeline(*words: str) -> str:
    """Returns the command that runs the whole pipeline, with these words after it."""
    return " ".join(("stonk-pipeline run" if _installed() else "./run_pipeline.sh", *words))


def serve() -> str:
    """Returns the command that serves the flows."""
    return "stonk-pipeline serve" if _installed() else "./run_pipeline.sh serve"


def flow(module: str) -> str:
    """Returns the command that runs the flow of a module, such as `ingest_flow`, once."""
    return f"stonk-pipeline {module.removesuffix('_flow')}" if _installed() else f"python -m flows.{module}"


def stages() -> str:
    """Returns the command whose subcommands are the stages."""
    return "stonk-pipeline" if _installed() else "python -m stonk_pipeline"


def become_installed() -> None:
    """Makes this process and its children the installed program's.

    Python looks first in the current folder for what is started with `-m`, as stages, servers and runs are. There a
    user's own `tasks.py` or `random.py` would be taken for the package's.
    """
    os.environ |= {INSTALLED: "1", "PYTHONSAFEPATH": "1"}


def require_no_namesake(folder: Path) -> None:
    """Checks that a folder has no module of the name of a package of this project, which Prefect would load instead.

    Prefect looks for a flow in the current folder first, however Python was started.

    Raises:
        StartError: names the module.
    """
    if folder.resolve() == PACKAGE.parent.resolve():
        return
    for package in PACKAGES:
        for path in (folder / f"{package}.py", folder / package / "__init__.py"):
            if path.exists():
                raise StartError(
                    f"{path}: runs that are served from here would take it for the project's own package {package}; "
                    "rename it, or serve from another folder"
                )


def _installed() -> bool:
    return os.environ.get(INSTALLED) == "1"
