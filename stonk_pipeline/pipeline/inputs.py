"""The files that a run reads: bars, headlines, company facts and records, found from its settings."""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.config.recipes import AnyConfig


def bar_files(config: AnyConfig) -> dict[str, Path]:
    """Symbol -> file of bars; empty for the embedded market.

    Raises:
        DataError: there is no such folder or symbol.
    """
    if config.data.data_dir == EMBEDDED:
        return {}
    found: dict[str, Path] = resolve_name("preprocessing.ohlcv:find_files")(config.data)
    return found


def news_files(config: AnyConfig) -> dict[str, Path]:
    """Input name -> file of headlines, company facts or records that the settings name.

    Raises:
        DataError: there is no such file, folder or dataset.
    """
    if config.contract != "direction":
        return {}
    if config.records is not None:
        named: Callable[[str], list[Path]] = resolve_name(
            "stonk_pipeline.contracts.direction.make.records:record_files"
        )
        return {f"records/{path.name}": path for path in named(config.records)}
    find: Callable[[Path], list[Path]] = resolve_name("preprocessing.news:news_files")
    files = {f"news/{path.name}": path for path in find(Path(config.news))} if config.news else {}
    return files | ({"companies": Path(config.companies).expanduser()} if config.companies else {})
