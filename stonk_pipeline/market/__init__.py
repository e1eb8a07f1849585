"""Generates a market of bars whose best possible forecast is known, and headlines about them."""
