"""What `benchmarks/kills.py` kills, and how it looks at what is left."""
