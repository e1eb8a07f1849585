"""The installed program: the whole pipeline, its server, or a single stage, from any folder.

    stonk-pipeline run --stock AAPL --data-dir .      # all of it, as `./run_pipeline.sh` does in a checkout
    stonk-pipeline serve                              # Prefect's UI, from which all flows are run and scheduled
    stonk-pipeline preprocess --run-dir results/mine  # and so on: every command of `python -m stonk_pipeline`

Relative paths count from the current folder, where `results` and `models` are made.
"""

import sys
from collections.abc import Callable

from stonk_pipeline.runs import interrupt, program


def run(argv: list[str]) -> int:
    """Runs the flow of the contract that the settings ask for."""
    from flows.direction_flow import direction_flow
    from flows.train_flow import train_flow
    from tasks import terminal

    return terminal.main({"forecast": train_flow, "direction": direction_flow}, argv)


def serve(argv: list[str]) -> int:
    """Serves every flow."""
    from flows import serve

    return serve.main(argv)


def ingest(argv: list[str]) -> int:
    """Runs the ingest flow once."""
    from flows import ingest_flow

    return ingest_flow.main(argv)


def retrain(argv: list[str]) -> int:
    """Runs the retraining flow once."""
    from flows import retrain_flow

    return retrain_flow.main(argv)


FLOWS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "run": (run, "the whole pipeline: bars in, report out"),
    "serve": (serve, "start Prefect's UI, from which all flows are run, retried and scheduled"),
    "ingest": (ingest, "bring new bars into a data folder"),
    "retrain": (retrain, "the whole pipeline again, if bars or settings have changed"),
}
"""Command -> (what runs it, what `--help` says of it)."""


def main(argv: list[str] | None = None) -> int:
    """Runs a command of the installed program; the exit code is 0 only if all that was asked for is done."""
    interrupt.end_at_once()
    program.become_installed()
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in FLOWS:
        return FLOWS[words[0]][0](words[1:])
    from stonk_pipeline import cli

    return cli.main(words, {name: about for name, (_, about) in FLOWS.items()})


if __name__ == "__main__":
    raise SystemExit(main())
