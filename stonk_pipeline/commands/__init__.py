"""Commands of the command line: their options, plans, model registry and retraining."""
