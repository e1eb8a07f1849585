"""Ends a command without a traceback when Ctrl-C or SIGTERM comes: at once while it imports libraries, else in order.

An exception in the middle of an import would be printed, or swallowed, by whatever is being imported. Nothing is to be
put in order at that time, so that the process may just end.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of shells for a command that Ctrl-C has ended."""
TERMINATED = 128 + signal.SIGTERM
"""The exit code of shells for a command that `kill` has ended."""


def end_at_once() -> None:
    """Makes Ctrl-C end the process at once, unless it ignores Ctrl-C as background processes of a shell do."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """Makes Ctrl-C raise an exception again, because there are now things to clean up."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


@contextmanager
def exit_when_terminated() -> Iterator[None]:
    """Makes SIGTERM raise `SystemExit` with `TERMINATED` inside this block; a second one ends the process at once."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(TERMINATED)
