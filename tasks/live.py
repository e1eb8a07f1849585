"""Shows a run in the terminal while it runs: its table, and above it what is logged, whole and never through it."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect.logging.configuration import setup_logging
from rich.console import Console
from rich.text import Text

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.runs import child
from tasks import begin, board
from tasks.board import FAILED, STOPPED, Board
from tasks.table import RunProgress

STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "bold red"}


@contextmanager
def shown(console: Console, config: RunConfig) -> Iterator[None]:
    """Draws the table of a run's steps while the block runs; on something that is no terminal, nothing is drawn."""
    board.current = Board.of(config)
    if not (console.is_interactive and console.file.isatty()):  # FORCE_COLOR makes a file interactive, but no terminal
        yield
        return
    try:
        with above(console), RunProgress(board.current, console), _estimated(board.current):
            try:
                yield
                board.current.end()
            except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or SIGTERM
                board.current.end(STOPPED)
                raise
            except BaseException:
                board.current.end(FAILED)
                raise
    finally:
        console.line()


@contextmanager
def above(console: Console) -> Iterator[None]:
    """Prints what is logged through a console, from warnings on, in place of all that loggers write to a terminal.

    Prefect 3.7 has its console handler at the root logger, and others at some loggers of its own, once it has set up
    logging; later on it changes levels alone. All of it stands in the run's `pipeline.log` besides.
    """
    setup_logging()
    known = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    loggers = [logger for logger in known if isinstance(logger, logging.Logger)]
    handlers = [(logger, handler) for logger in loggers for handler in logger.handlers if _is_seen(handler)]
    handler = Above(console)
    for logger, old in handlers:
        logger.removeHandler(old)
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, old in handlers:
            logger.removeHandler(handler)
            logger.addHandler(old)


def _is_seen(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
        return False
    isatty = getattr(handler.stream, "isatty", None)
    return isatty is not None and bool(isatty())


class Above(logging.Handler):
    """Prints log lines through a console, which puts them above what it draws."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self.console = console
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def filter(self, record: logging.LogRecord) -> bool:
        """Leaves out how tasks and the run failed: that is said last, below the table, and without a traceback."""
        return bool(super().filter(record)) and not (
            record.levelno >= logging.ERROR and record.name.startswith((*begin.LOGGERS, "prefect.engine"))
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a line; the terminal breaks a long one, so that what is copied from it is whole."""
        try:
            self.console.print(Text(self.format(record), STYLES.get(record.levelno, "")), soft_wrap=True)
        except Exception:
            self.handleError(record)


@contextmanager
def _estimated(run: Board) -> Iterator[None]:
    """Estimates each step's time in a process of its own, once the first one that loads a model has begun."""
    over = threading.Event()
    estimating = threading.Thread(target=_estimate, args=(run, over), daemon=True)
    estimating.start()
    try:
        yield
    finally:
        over.set()
        estimating.join()


def _estimate(run: Board, over: threading.Event) -> None:
    while begin.opened is None or all(row.least is not None or row.begun is None for row in run.rows.values()):
        if over.wait(0.5):
            return
    process = subprocess.Popen(
        [sys.executable, "-m", "stonk_pipeline.commands.estimate", str(begin.opened)],
        env=child.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for the run
    )
    while process.poll() is None:
        if over.wait(0.5):
            process.kill()
    said, _ = process.communicate()
    with suppress(ValueError, IndexError):  # a run goes on without an estimate
        run.estimates = json.loads(said.splitlines()[-1])
