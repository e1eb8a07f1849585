#!/usr/bin/env bash
# Bars in, report out: sets up what is missing, then runs the whole pipeline. ./run_pipeline.sh --help lists the options.
# ./run_pipeline.sh serve instead starts the Prefect UI, from which all flows are run, retried and scheduled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" # the packages run from the checkout; relative paths in options count from it too

./setup.sh
flow=flows
[[ ${1:-} != serve ]] || { flow=flows.serve && shift; }
exec .venv/bin/python -m "$flow" "$@"
