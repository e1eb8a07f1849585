#!/usr/bin/env bash
# Bars in, report out: sets up what is missing, then runs the whole pipeline. ./run_pipeline.sh --help lists the options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" # the packages run from the checkout; relative paths in options count from it too

./setup.sh
exec .venv/bin/python -m flows.train_flow "$@"
