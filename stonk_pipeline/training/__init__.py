"""Trains adapters with GRPO and supervised fine-tuning, whatever the contract."""
