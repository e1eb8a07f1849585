"""Malformed inputs for every reader, and the process that runs them within bounds of time and memory."""
