"""Creates the Prefect automation that starts a retraining when bars changed."""

from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

DATA_CHANGED = "stonk.data.changed"
"""The event; its payload has `symbols`, `digests` (symbol -> SHA-256), `data_dir` and `digest` of the folder."""
RESOURCE = "stonk.data"
"""Beginning of the event's resource id; the folder's digest follows."""
AFTER = timedelta(seconds=10)
RETRAIN_AUTOMATION = "retrain when bars changed"


def ensure_retrain_automation(deployment_id: UUID) -> UUID:
    """Makes sure that exactly one automation runs this deployment when bars changed.

    Call it as often as you like: an automation that is there is kept, one that differs is corrected, and others of the
    same name are deleted. One that a person switched off in the UI stays off.

    Args:
        deployment_id: the retrain deployment; it runs with its own parameters.

    Returns:
        Id of the automation.
    """
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(RETRAIN_AUTOMATION)
        if not found:
            return client.create_automation(_automation(deployment_id))
        for other in found[1:]:
            client.delete_automation(other.id)
        client.update_automation(found[0].id, _automation(deployment_id, enabled=found[0].enabled))
        return found[0].id


def _automation(deployment_id: UUID, enabled: bool = True) -> AutomationCore:
    return AutomationCore(
        name=RETRAIN_AUTOMATION,
        description="One retraining for each ingest that changed bars, however many stocks it concerned.",
        enabled=enabled,
        trigger=EventTrigger(
            expect={DATA_CHANGED},
            match=ResourceSpecification({"prefect.resource.id": f"{RESOURCE}.*"}),
            posture=Posture.Reactive,
            threshold=1,
        ),
        # A run that asks for another one has ended by then, also where a deployment cancels a second run.
        actions=[RunDeployment(deployment_id=deployment_id, schedule_after=AFTER)],
    )
