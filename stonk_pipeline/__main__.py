"""`python -m stonk_pipeline`."""

from stonk_pipeline.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
