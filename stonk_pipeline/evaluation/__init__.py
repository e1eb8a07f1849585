"""Computes scores, baselines, confidence intervals and the verdict: arrays in, small frozen values out.

`losses.Losses` is what contracts bring: one loss a question. `verdict.judge` says of it whether it is skill or luck.
"""
