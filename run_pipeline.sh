#!/usr/bin/env bash
# Bars in, report out: sets up what is missing, then runs the whole pipeline. ./run_pipeline.sh --help lists the options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" # the packages run from the checkout; relative paths in options count from it too

# Prefect reports usage to its makers otherwise, and prints an error where it cannot. Set either to another value to allow it.
export DO_NOT_TRACK="${DO_NOT_TRACK:-1}" PREFECT_SERVER_ANALYTICS_ENABLED="${PREFECT_SERVER_ANALYTICS_ENABLED:-false}"

./setup.sh
exec .venv/bin/python -m flows.train_flow "$@"
