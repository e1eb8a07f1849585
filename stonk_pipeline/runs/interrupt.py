"""Ends a command at once, without a traceback, when Ctrl-C comes while it still imports libraries.

An exception in the middle of an import would be printed, or swallowed, by whatever is being imported. Nothing is to be
put in order at that time, so that the process may just end.
"""

import os
import signal
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of shells for a command that Ctrl-C has ended."""


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
