"""Daily bars in, a trained forecaster and an honest verdict on it out."""

from pathlib import Path

__version__ = "0.1.0"
PACKAGE = Path(__file__).parent
"""This directory; the checkout is its parent."""
