"""Estimates what memory and time a run takes on this machine, and refuses what cannot fit."""
