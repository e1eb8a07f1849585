"""Scores called directions: accuracy, calibration and size, the gate between the stages, and the verdict."""
