"""Lists the contracts: what a model can be asked, what answers earn in training, and how they are judged.

Each is a package here that makes one `Contract`, named in this tuple and nowhere else in shared code. The first one's
recipes are the default.
"""

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contract import Contract
from stonk_pipeline.contracts.direction import DIRECTION
from stonk_pipeline.contracts.forecast import FORECAST

CONTRACTS: tuple[Contract, ...] = (FORECAST, DIRECTION)


def contract_of(config: RunConfig) -> Contract:
    """Returns the contract that settings belong to."""
    return next(contract for contract in CONTRACTS if isinstance(config, contract.settings))
