"""Starts the flow of the contract that the settings ask for, as `./run_pipeline.sh` does.

python -m flows                         # forecasts
python -m flows --recipe direction      # calls of directions
"""

import sys

from flows.command import run

if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
