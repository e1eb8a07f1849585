"""The DAGs, one file each."""
