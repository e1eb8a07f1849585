"""Makes reports: finished stage directories in, one self-contained HTML page and a few pictures out.

It shows numbers that the stages computed and computes none of its own; smoothed lines and quantile bands are drawing.
"""
