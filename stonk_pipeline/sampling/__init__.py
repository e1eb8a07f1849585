"""Sampling answers from a model, and choosing among them."""
