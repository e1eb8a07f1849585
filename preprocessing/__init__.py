"""Bars to windows: read, validate, add indicators, cut, split, write."""
