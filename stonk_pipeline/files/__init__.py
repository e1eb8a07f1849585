"""Reads and writes files that can be trusted: locks, digests, directories that appear whole, and input from outside."""
