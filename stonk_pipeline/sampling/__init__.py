"""Renders prompts and samples answers to them from a model, with vLLM or transformers."""
