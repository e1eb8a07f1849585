"""Scores called directions: accuracy, calibration, size of the move, the gate between the stages, the verdict."""
