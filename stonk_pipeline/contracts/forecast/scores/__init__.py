"""Scores forecasts against persistence and other baselines, with intervals and a verdict."""
