"""Base models and adapters: found, checked, loaded, asked in their chat template, and merged."""
