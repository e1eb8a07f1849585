"""Brings new bars into a data folder: downloads, checks, compares and records them."""
