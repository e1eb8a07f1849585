"""Starts the flow of the contract that the settings ask for, as `./run_pipeline.sh` does.

python -m flows                         # forecasts
python -m flows --recipe direction      # calls of directions
"""

from flows.direction_flow import direction_flow
from flows.train_flow import train_flow
from tasks.terminal import main

if __name__ == "__main__":
    raise SystemExit(main({"forecast": train_flow, "direction": direction_flow}))
