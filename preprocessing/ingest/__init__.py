"""Brings new bars into a data folder: fetched, checked, compared with what was there, and recorded."""
