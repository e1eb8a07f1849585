"""Contracts: what a model is asked, what its answers earn in training, and how they are judged."""
