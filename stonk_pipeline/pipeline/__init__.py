"""Defines a run as a graph of steps: where each reads and writes, when it is done, and what it publishes."""
