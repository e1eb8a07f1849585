"""Serves every flow: starts a Prefect server, unless one is named, and a process that starts its runs.

    ./run_pipeline.sh serve
    ./run_pipeline.sh serve --recipe small          # another recipe in the form
    PREFECT_API_URL=http://host:4200/api ./run_pipeline.sh serve

Ctrl-C ends the runs, which become Cancelled and can be retried, and then the server. Schedules go on when it is started
again: what was switched, added or edited in the UI stays.
"""

import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.exceptions import PrefectException
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL, PREFECT_HOME

from stonk_pipeline.commands import options
from stonk_pipeline.commands.parser import Parser
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.recipes import recipe_files
from stonk_pipeline.errors import PipelineError, StartError, of_system
from stonk_pipeline.files import locks, roots
from stonk_pipeline.runs import program
from tasks import access, contact, guard, results, server, slots
from tasks.automations import ensure_retrain_automation
from tasks.deployments import Wanted, deployment

PORT = 4200


@dataclass(frozen=True)
class Served:
    """A served flow and the name of its deployment."""

    name: str
    module: str
    flow: str
    cron: str | None = None
    """Schedule that a new deployment gets, switched off, in New York's time; later changes in the UI stay."""
    one_at_a_time: bool = False
    """Whether a second run is cancelled while one is under way."""


DEPLOYMENTS = (
    Served("train", "flows.train_flow", "train_flow"),
    Served("direction", "flows.direction_flow", "direction_flow"),
    Served("retrain", "flows.retrain_flow", "retrain_flow", "30 18 * * 1-5", one_at_a_time=True),
    Served("ingest", "flows.ingest_flow", "ingest_flow", "30 17 * * 1-5", one_at_a_time=True),
    Served("forecast", "flows.forecast_flow", "forecast_flow", "0 20 * * 1-5", one_at_a_time=True),
)
"""All that is served; a flow whose module is not there is left out."""


def load(served: Served) -> Flow[..., Any] | None:
    """Loads a flow; None if there is no such module."""
    if importlib.util.find_spec(served.module) is None:
        return None
    flow: Flow[..., Any] = getattr(importlib.import_module(served.module), served.flow)
    return flow


def main(argv: list[str] | None = None) -> int:
    """Serves until it is ended."""
    parser = Parser(prog=program.serve(), description=__doc__.split("\n")[0])
    parser.add_argument("--host", default=access.LOOPBACK, help="interface of the server (default: loopback alone)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port of the server (default: {PORT})")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name by which browsers may call the server, as stonk.example.org or box:4200; repeatable",
    )
    parser.add_argument(
        "--root",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder that runs may read and write; repeatable (default: this folder and what the options name)",
    )
    parser.add_argument(
        "--private-addresses", action="store_true", help="let ingests fetch bars from private networks and this machine"
    )
    parser.add_argument("--limit", type=int, help="most runs at once (default: no limit)")
    options.add_config_options(parser)
    args = parser.parse_args(argv)
    try:
        program.require_no_namesake(Path.cwd())
        config = options.resolve_config(args)
        own = [args.recipe] if args.recipe not in (None, *recipe_files()) else []
        _confine(config, args.root, own, private=args.private_addresses)
        wanted = Wanted(config, args.recipe, options.overrides(args, contract_of(config)))
        # A shell starts what it puts in the background deaf to Ctrl-C, which SIGTERM is turned into here.
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which ends `interrupt.end_at_once`, too
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # so that the server ends as well
        with _server(args.host, args.port, args.allowed_host, config.results_dir) as url, _alone(url):
            _serve(wanted, url, args.limit)
    except (PipelineError, OSError) as error:
        sys.stderr.write(f"error: {of_system(error) if isinstance(error, OSError) else error}\n")
        return 1
    except (PrefectException, httpx.HTTPError) as error:  # a server of somebody's own that goes away meanwhile
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _confine(config: RunConfig, chosen: list[str], own: list[str], *, private: bool) -> None:
    """Confines the paths and the addresses of all runs that are started from here; see `stonk_pipeline.files.roots`.

    Raises:
        ConfigError: the settings of the form themselves lead elsewhere, or no folder is named and the current one is
            too much.
    """
    os.environ[roots.VARIABLE] = roots.named(chosen or [roots.here(), *roots.folders(config), *own])
    os.environ[roots.PRIVATE] = str(int(private))
    roots.check(config)


def _alone(url: str) -> AbstractContextManager[int]:
    """Two that serve the same deployments would each take the other's runs for lost."""
    return locks.held(locks.lock_file(f"serve-{url}"), "serve", f"serving for {url}")


@contextmanager
def _server(host: str, port: int, allowed: list[str], results_dir: str) -> Iterator[str]:
    if PREFECT_API_URL.value():
        os.environ.pop(results.OFFERED, None)  # what another one shows is not known
        yield contact.require_answer()
        return
    log = Path(PREFECT_HOME.value()) / "stonk-server.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError as error:
        raise StartError(f"{log}: cannot be written ({error.strerror}); PREFECT_HOME names another folder") from error
    sys.stdout.write(f"starting a Prefect server; its log: {log}\n")
    shown = Path(results_dir).expanduser().resolve()
    os.environ[results.OFFERED] = str(shown)
    with server.running(host, port, ui=True, log=log, allowed=allowed, shown=shown) as url, access.used(url):
        yield url


def _serve(wanted: Wanted, url: str, limit: int | None) -> None:
    made = {}
    for served in DEPLOYMENTS:
        flow = load(served)
        if flow is not None:
            made[served.name] = deployment(
                flow, served.name, wanted, cron=served.cron, one_at_a_time=served.one_at_a_time
            )
    slots.ensure_limits(locks.accelerators(None))
    guard.quiet_runner()
    runner = Runner(pause_on_shutdown=False, limit=limit, query_seconds=2)
    # Prefect 3.7's own answer to SIGTERM ends no run; its answer to Ctrl-C ends them all.
    runner.handle_sigterm = lambda *_: signal.raise_signal(signal.SIGINT)  # type: ignore[method-assign]
    ids = {name: one for name, made_one in made.items() if isinstance(one := runner.add_deployment(made_one), UUID)}
    if "retrain" in ids:
        ensure_retrain_automation(ids["retrain"])
    for name in guard.recover(list(ids.values())):
        sys.stdout.write(f"{name}: its process is gone; marked as crashed, and can be retried\n")
    names = ", ".join(one.full_name for one in made.values())
    site = url.removesuffix("/api")
    shown = f"results: {site}{results.PATH}/\n" if results.OFFERED in os.environ else ""
    sys.stdout.write(f"serving {names}\n{shown}UI: {site}/deployments   (Ctrl-C ends)\n")
    sys.stdout.flush()
    try:
        asyncio.run(runner.start())
    finally:
        guard.recover(list(ids.values()))  # runs that were ended with it, while the server can still be told


if __name__ == "__main__":
    raise SystemExit(main())
