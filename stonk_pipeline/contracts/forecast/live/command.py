"""Runs the commands `forecast`, `score` and `verify`."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.contract import Resolve
from stonk_pipeline.contracts.forecast.settings import of_forecasts
from stonk_pipeline.contracts.recipes import WAIT, with_wait
from stonk_pipeline.errors import ConfigError, LogError
from stonk_pipeline.files.brief import SHOWN
from stonk_pipeline.runs.child import report_progress

if TYPE_CHECKING:
    from stonk_pipeline.records.forward_log import LogEntry

CHAMPIONS_OWN = ("recipe", "model", "max_seq_length", "lora_rank", "horizon", "window", "results_dir", "report_to")
"""Options that a registered champion answers by itself."""


def forecast(args: argparse.Namespace, resolve: Resolve) -> int:
    """Forecasts the next sessions, logs each forecast, prints it, and writes the page of the log where asked to."""
    import os

    from stonk_pipeline.contracts.forecast.live.files import keep
    from stonk_pipeline.contracts.forecast.live.forecaster import champions_for, of_adapter
    from stonk_pipeline.contracts.forecast.live.make import make
    from stonk_pipeline.contracts.forecast.live.page import write_page
    from stonk_pipeline.contracts.forecast.live.request import ForecastRequest
    from stonk_pipeline.contracts.forecast.live.tables import forecast_table
    from stonk_pipeline.pipeline.base_model import asked
    from stonk_pipeline.report.terminal import print_table

    request = _request(args, ForecastRequest)
    directory = Path(request.forecasts_dir)
    if args.page_only:
        sys.stdout.write(f"{write_page(directory)}\n")
        return 0
    if args.adapter is not None or args.base:
        named = of_adapter(of_forecasts(resolve(args), "forecast"), args.adapter)
        forecasters = [replace(named, config=asked(named.config, args.adapter))]
    else:
        found_ones = champions_for(request)
        forecasters = [replace(each, config=with_wait(each.config, args.set)) for each in found_ones]
    if args.cuda_devices is not None:  # before torch is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = args.cuda_devices
    directory.mkdir(parents=True, exist_ok=True)  # where it cannot be made, no model is asked
    for forecaster in forecasters:
        found, left_out = make(forecaster, request, report_progress)
        for stock, reason in list(left_out.items())[:SHOWN]:
            sys.stdout.write(f"no forecast of {stock}: {reason}\n")
        if len(left_out) > SHOWN:
            sys.stdout.write(f"nor of {len(left_out) - SHOWN:,} more stocks\n")
        for made in found:
            entry, added, path = keep(made, directory)
            if not added:
                sys.stdout.write(
                    f"{entry.stock}: {entry.model} forecast from {entry.last_bar} already, entry {entry.n} of the log; "
                    "that one stands\n"
                )
            print_table(forecast_table(entry))
            if path is not None:
                sys.stdout.write(f"{path} (with .csv and .png); entry {entry.n} of {directory / 'log.jsonl'}\n")
            if added:
                sys.stdout.write(f"head of the log: {entry.digest}\n")
    if args.page:
        sys.stdout.write(f"{write_page(directory)}\n")
    return 0


def _request(args: argparse.Namespace, request: Any) -> Any:
    """The options as a `ForecastRequest`.

    Raises:
        ConfigError: an option that a champion answers by itself, or a value out of its bounds.
    """
    from pydantic import ValidationError

    if args.adapter is None and not args.base:
        given = [f"--{name.replace('_', '-')}" for name in CHAMPIONS_OWN if getattr(args, name) is not None]
        given += ["--set"] if any(text.partition("=")[0] != WAIT for text in args.set) else []
        if given:
            raise ConfigError(f"{', '.join(given)}: the champion has settings of its own; leave out, or give --adapter")
    options = {
        "stocks": [part.strip() for part in (args.stock or "all").split(",") if part.strip()],
        "data_dir": args.data_dir,
        "models_dir": args.models_dir or "models",
        "key": args.key,
        "calendar": args.calendar,
        "samples": args.samples,
        "forecasts_dir": args.forecasts_dir,
        "seed": args.seed or 0,
    }
    try:
        return request(**options)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--{first['loc'][0]}: {first['msg']} (got {first['input']!r})") from error


def score(args: argparse.Namespace, resolve: Resolve) -> int:
    """Marks logged forecasts whose outcome is there, and prints the record."""
    from stonk_pipeline.config.data import DataConfig
    from stonk_pipeline.contracts.forecast.live.calendar import in_weeks
    from stonk_pipeline.contracts.forecast.live.honesty import require_honest
    from stonk_pipeline.contracts.forecast.live.score import closes_of, read_marks, records, restated
    from stonk_pipeline.contracts.forecast.live.score import score as mark
    from stonk_pipeline.contracts.forecast.live.tables import records_table
    from stonk_pipeline.records import ingests
    from stonk_pipeline.records.forward_log import read
    from stonk_pipeline.report.terminal import print_table

    if args.data_dir == EMBEDDED:
        raise ConfigError("the generated market has no future to wait for; give --data-dir a folder of real bars")
    entries = read(args.forecasts_dir)
    require_honest(entries)
    recorded = [one for one in dict.fromkeys([Path(args.data_dir), Path("bars")]) if (one / ingests.LOG).exists()]
    _compare_heads(args.forecasts_dir, entries, recorded, args.models_dir)
    if not entries:
        raise LogError(f"{args.forecasts_dir}: no forecasts logged here yet; make one with the forecast command")
    stocks = sorted({entry.stock for entry in entries})
    weekly = {entry.stock for entry in entries if in_weeks(entry.last_bar, entry.targets)}
    data = DataConfig(data_dir=args.data_dir)
    closes = closes_of(data, [stock for stock in stocks if stock not in weekly])
    if weekly:
        closes |= closes_of(data.model_copy(update={"bars": "weekly"}), sorted(weekly))
    new = mark(args.forecasts_dir, closes)
    missing = [stock for stock in stocks if stock not in closes]
    if missing:
        sys.stdout.write(f"no bars of {', '.join(missing)} in {args.data_dir}\n")
    written = read_marks(args.forecasts_dir, entries)
    marks = restated(written, entries, closes)
    waiting = sum(len(entry.targets) for entry in entries) - len(marks)
    sys.stdout.write(f"{len(new)} days marked now, {len(marks)} in all, {waiting} without an outcome yet\n")
    other = [pair for pair in zip(written, marks, strict=True) if not math.isclose(pair[0].outcome, pair[1].outcome)]
    if other:
        then, now = other[0]
        sys.stdout.write(
            f"{len(other)} of these days came differently by the bars of {args.data_dir} now, which are what counts "
            f"below (the first: {now.stock} on {now.date}, {then.outcome:.2f} % of the last close when it was marked, "
            f"{now.outcome:.2f} % now)\n"
        )
    if marks:
        print_table(records_table(records(marks)))
    return 0


def verify(args: argparse.Namespace, resolve: Resolve) -> int:
    """Checks the log against its own chain and against what ingests and promotions recorded of it."""
    from stonk_pipeline.contracts.forecast.live.honesty import require_honest
    from stonk_pipeline.contracts.forecast.live.score import read_marks
    from stonk_pipeline.records.forward_log import holds, read

    entries = read(args.forecasts_dir)
    require_honest(entries)
    compared = _compare_heads(args.forecasts_dir, entries, args.data_dir, args.models_dir)
    read_marks(args.forecasts_dir, entries)
    if args.head is not None and not holds(entries, args.head):
        raise LogError(f"the log does not hold {args.head}: its end was cut off, or it was written anew")
    if not entries:
        sys.stdout.write(f"{args.forecasts_dir}: no forecasts logged\n")
        return 0
    late = sum(entry.late for entry in entries)
    sys.stdout.write(f"{len(entries)} entries, unbroken, {late} of them late; since {entries[0].stamp[:10]}\n")
    sys.stdout.write(f"head of the log: {entries[-1].digest}\n")
    sys.stdout.write(f"{compared}\n")
    if args.head is None:
        sys.stdout.write(
            "A chain alone cannot show that its end was cut off or that all of it was written anew: publish the head "
            "where you cannot change it, and verify later with --head.\n"
        )
    return 0


def _compare_heads(
    forecasts_dir: Path, entries: Sequence["LogEntry"], data_dirs: list[Path] | None, models_dirs: list[Path] | None
) -> str:
    """Compares the log with what ingests and promotions recorded of it; says how many did.

    Raises:
        LogError: names the first record that the log does not hold, or a folder without any that was asked for.
    """
    from stonk_pipeline.contracts.forecast.live import witness
    from stonk_pipeline.records import ingests
    from stonk_pipeline.registry import store

    data, models = data_dirs or [Path("bars")], models_dirs or [Path("models")]
    for path in [
        *(one / ingests.LOG for one in data_dirs or []),
        *(one / store.DIRECTORY for one in models_dirs or []),
    ]:
        if not path.exists():
            raise LogError(f"{path}: there is none; give --data-dir a folder of an ingest, --models-dir one of models")
    found = witness.witnesses(data, models)
    own = witness.of_log(found, forecasts_dir)
    witness.require(entries, own)
    others = sorted({str(one.log) for one in found} - {str(one.log) for one in own})
    told = f"; of other logs, not compared: {', '.join(others)}" if others else ""
    count = len({one.journal for one in own})
    if not own:
        return f"no ingest and no promotion has recorded a head of this log{told}"
    return f"heads that ingests and promotions recorded: {len(own)}, in {count} of their journals, all held{told}"
