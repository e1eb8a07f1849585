"""Training stages: GRPO and supervised fine-tuning, on models that `models` loads."""
