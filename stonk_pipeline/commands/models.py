"""Runs `python -m stonk_pipeline models …`: lists, compares, promotes and prunes registered models."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.child import report_progress


def add_command(commands: Any) -> None:
    """Adds `models` and its actions to the command line."""
    parser = commands.add_parser("models", help="registered models: list, show, register, promote, rollback, prune")
    parser.set_defaults(run=main)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--models-dir", default="models", help="where the registry lies (default: models)")
    changing = argparse.ArgumentParser(add_help=False)
    changing.add_argument(
        "--forecasts-dir", default="forecasts", help="where the forward log lies (default: forecasts)"
    )
    keyed = argparse.ArgumentParser(add_help=False, parents=[common])
    keyed.add_argument("--key", metavar="MODEL/STOCK", help="which champion; needed where there are several")

    listing = actions.add_parser("list", parents=[common], help="all models, and which is champion")
    listing.add_argument("--key", metavar="MODEL/STOCK", help="models of this key alone")
    show = actions.add_parser("show", parents=[common], help="one model: data, dates, settings, verdict, trials")
    show.add_argument("model", help="its id, or the first characters of it")
    show.add_argument("--json", action="store_true", help="the whole entry as JSON")
    register = actions.add_parser("register", help="register a run's last model, and compare it with the champion")
    register.add_argument("--run-dir", type=Path, required=True)
    register.add_argument("--compare-only", action="store_true", help="compare and record, but promote nobody")
    promote = actions.add_parser(
        "promote", parents=[common, changing], help="compare a model with the champion, and promote it"
    )
    promote.add_argument("model", help="its id, or the first characters of it")
    promote.add_argument("--force", metavar="REASON", help="promote it whatever the comparison would say")
    back = actions.add_parser("rollback", parents=[keyed, changing], help="put the champion before in use again")
    back.add_argument("--reason", default="rolled back by hand")
    prune = actions.add_parser("prune", parents=[keyed], help="delete adapters of old models, never the champion's")
    prune.add_argument("--keep", type=_count, default=None, help="latest models to keep (default: 5)")
    prune.add_argument("--dry-run", action="store_true", help="say which, and delete nothing")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def main(args: argparse.Namespace) -> int:
    """Runs an action; the exit code is 0 also where the rule refuses a challenger, for that is an answer."""
    actions = {
        "list": _list,
        "show": _show,
        "register": _register,
        "promote": _promote,
        "rollback": _rollback,
        "prune": _prune,
    }
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from stonk_pipeline.commands.models_tables import models_table
    from stonk_pipeline.registry.store import Registry
    from stonk_pipeline.report.terminal import print_table

    registry = Registry(args.models_dir)
    keys = [key for key in registry.known_keys() if args.key in (None, key)]
    if not keys:
        sys.stdout.write(f"no models in {registry.root} yet; a finished run registers its own\n")
    for key in keys:
        print_table(models_table(registry, key))
    return 0


def _show(args: argparse.Namespace) -> int:
    from stonk_pipeline.commands.models_tables import entry_table, trials_table
    from stonk_pipeline.registry.store import Registry
    from stonk_pipeline.report.terminal import print_table

    registry = Registry(args.models_dir)
    entry = registry.find(args.model)
    if args.json:
        sys.stdout.write(json.dumps(entry.model_dump(mode="json"), indent=2) + "\n")
        return 0
    print_table(entry_table(registry, entry))
    trials = [trial for trial in registry.trials(entry.key) if entry.id in (trial["challenger"], trial["champion"])]
    if trials:
        print_table(trials_table(trials))
    return 0


def _register(args: argparse.Namespace) -> int:
    from stonk_pipeline.registry.store import Registry

    run = open_run(args.run_dir)
    registry = Registry(run.config.models_dir, run.config.forecasts_dir)
    entry = registry.register(run)
    sys.stdout.write(f"registered {entry.id} ({entry.key})\n")
    _compare(registry, entry, run, promote=not args.compare_only)
    return 0


def _promote(args: argparse.Namespace) -> int:
    from stonk_pipeline.registry.store import Registry

    registry = Registry(args.models_dir, args.forecasts_dir)
    entry = registry.find(args.model)
    if args.force:
        registry.promote(entry, "forced", args.force)
        sys.stdout.write(f"{entry.id} is champion of {entry.key} now, by force: {args.force}\n")
        return 0
    _compare(registry, entry, open_run(Path(entry.run)), promote=True)
    return 0


def _compare(registry: Any, entry: Any, run: Run, *, promote: bool) -> None:
    from stonk_pipeline.registry.contest import contest

    before = registry.champions(entry.key).current
    if before == entry.id:
        sys.stdout.write(f"{entry.id} is champion of {entry.key} already\n")
        return
    decision = contest(registry, entry, run, report_progress)
    sys.stdout.write(f"{decision.sentence}\n")
    if decision.promote and promote:
        registry.promote(entry, "test", decision.sentence, instead_of=before)
        sys.stdout.write(f"{entry.id} is champion of {entry.key} now\n")


def _rollback(args: argparse.Namespace) -> int:
    from stonk_pipeline.registry.store import Registry, require_key

    registry = Registry(args.models_dir, args.forecasts_dir)
    key = require_key(registry, args.key)
    changed = registry.rollback(key, args.reason)
    sys.stdout.write(f"{changed.current} is champion of {key} again\n")
    return 0


def _prune(args: argparse.Namespace) -> int:
    from stonk_pipeline.registry.store import KEEP, Registry, require_key

    registry = Registry(args.models_dir)
    key = require_key(registry, args.key)
    gone = registry.prune(key, KEEP if args.keep is None else args.keep, dry_run=args.dry_run)
    what = "would delete" if args.dry_run else "deleted"
    sys.stdout.write(f"{what} the adapters of {len(gone)} models of {key}\n")
    for entry in gone:
        sys.stdout.write(f"  {entry.id}, registered {entry.registered[:16]}\n")
    return 0
