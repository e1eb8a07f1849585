"""Scores, baselines, intervals and the verdict: arrays in, small frozen values out. No text is parsed here.

`compare` is the door: the same windows for every model, persistence and drift beside them, and one plain sentence.
"""
