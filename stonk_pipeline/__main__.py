"""Starts the command line of `python -m stonk_pipeline`."""

from stonk_pipeline.runs import interrupt


def main() -> int:
    """Imports the command line, which takes a while, and runs it."""
    interrupt.end_at_once()
    from stonk_pipeline.cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
