"""Trains language models on daily stock bars and judges them against repeating the last price."""

from pathlib import Path

__version__ = "0.1.0"
PACKAGE = Path(__file__).parent
"""This directory; the checkout is its parent."""
