"""A run and its graph of steps: where each one reads and writes, when it is done, and what it publishes."""
