"""Turns files of daily bars into windows: reads, checks, adds indicators, cuts, splits by date and writes them."""
