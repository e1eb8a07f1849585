"""Trains language models on daily stock bars and judges them against repeating the last price."""

import sys
from pathlib import Path

if sys.platform == "win32":
    raise ImportError("Stonk Pipeline runs on Linux: it needs file locks that Windows has not; WSL has them")

__version__ = "0.1.0"
PACKAGE = Path(__file__).parent
"""This directory."""
