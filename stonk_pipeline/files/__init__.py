"""Reads and writes files safely: locks, digests, folders replaced as a whole, input read within limits."""
