"""Ctrl-C in the seconds that a command takes to import its libraries: an end without a word, as it is later on.

An exception in the middle of an import would be printed, or swallowed, by whatever is being imported. Nothing is to be
put in order at that time, so that the process may just end.
"""

import os
import signal
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of shells for a command that Ctrl-C has ended."""


def end_at_once() -> None:
    """From now on Ctrl-C ends the process, unless it is deaf to it, as what a shell starts in the background is."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From now on Ctrl-C is an exception again: there are things to put in order."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
