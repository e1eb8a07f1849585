"""Daily bars in, a trained forecaster and an honest verdict on it out."""

__version__ = "0.1.0"
