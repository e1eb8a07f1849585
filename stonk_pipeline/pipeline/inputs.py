"""Finds the files of bars that a run reads."""

from pathlib import Path

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.config.run import RunConfig


def bar_files(config: RunConfig) -> dict[str, Path]:
    """Finds the file of bars of each symbol; none for the generated market.

    Raises:
        DataError: there is no such folder or symbol.
    """
    if config.data.data_dir == EMBEDDED:
        return {}
    from preprocessing.ohlcv import find_files

    return find_files(config.data)
