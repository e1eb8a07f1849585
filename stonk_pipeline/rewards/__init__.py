"""Rewards: one pure, picklable function each, from an answer and an outcome to a number.

One module for each recipe; its `COMPONENTS` names the functions.
"""
