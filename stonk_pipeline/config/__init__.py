"""Defines the settings that all contracts share, typed and checked before anything heavy is loaded.

A recipe (YAML) holds only what differs from the defaults here; the resolved settings of a run lie in its `config.json`.
Each stage receives its own small slice (the classes ending in `Stage`), so that a change of one stage's settings leaves
the finished work of the stages before it valid.
"""
