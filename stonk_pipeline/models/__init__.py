"""Finds, checks, loads and merges base models and LoRA adapters, and applies their chat templates."""
