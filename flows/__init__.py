"""The DAGs, one file each."""

import os

# Prefect reports usage to its makers otherwise, and prints an error where it cannot. Set either to another value to
# allow it.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
