"""Brings new bars from a watched folder, an address or Yahoo into a data folder, as a Prefect flow.

    python -m flows.ingest_flow --help

A stock that fails does not stop the others. If any bars changed, one event says so, and the automation of
`tasks.automations` starts one retraining.
"""

from prefect import flow
from prefect.client.schemas.objects import State

from stonk_pipeline.config.operations import IngestConfig
from tasks.begin import guard_run
from tasks.ingest import announce, final_state, ingest

DEFAULT = IngestConfig()


@flow(name="ingest", flow_run_name="ingest-{config.source}")
def ingest_flow(config: IngestConfig = DEFAULT) -> State[None]:
    """Takes new bars, records the ingest, and says what changed; ends as Warning if some stocks failed.

    Args:
        config: where bars come from and the rules; the form in the UI is drawn from it.
    """
    guard_run()
    done = ingest(config)
    announce(config, done)
    return final_state(done)


def main(argv: list[str] | None = None) -> int:
    """Brings new bars with the settings of a command line."""
    from tasks import operations_terminal

    return operations_terminal.main(ingest_flow, IngestConfig, "New bars into the folder that a training reads.", argv)


if __name__ == "__main__":
    raise SystemExit(main())
