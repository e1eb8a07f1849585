"""`./run_pipeline.sh serve`: the form refuses wrong values, schedules outlive it, stages take turns."""

import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from stonk_pipeline.files import locks
from tests.served import ROOT, Served, of_home


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("seed", -1),
        ("recipe", "none"),
        ("promotion", "perhaps"),
        ("advanced", {"sft": {"epochs": 0}}),
        ("advanced", {"data": {"window": 4}}),
        ("advanced", {"lora": {"rank": "many"}}),
        ("advanced", {"model": {"backend": "other"}}),
        ("advanced", {"run_dir": "results"}),
        ("no_such_setting", 1),
    ],
)
def test_server_refuses_a_wrong_setting(served: Served, where: str, value: object) -> None:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        served.run(**{where: value})
    assert caught.value.response.status_code == 409  # so says Prefect 3.7
    assert "Validation failed" in caught.value.response.text


def test_form_explains_every_field_and_bounds_every_number(served: Served) -> None:
    schema = served.deployment()["parameter_openapi_schema"]
    assert served.deployment()["enforce_parameter_schema"]
    about = {f"#/definitions/{name}": part.get("description") for name, part in schema["definitions"].items()}
    for name, part in schema["definitions"].items():
        for field, spec in part["properties"].items():
            # A field that says the same as its type does is described by its type alone.
            assert spec.get("description") or about.get(spec.get("$ref")), f"{name}.{field} has no description"
            assert "type" in spec or "$ref" in spec or "anyOf" in spec or "allOf" in spec, f"{name}.{field} has no type"
            if spec.get("type") in ("integer", "number"):
                assert {"minimum", "exclusiveMinimum"} & set(spec), f"{name}.{field} has no bound"


@pytest.mark.parametrize("name", ["ingest/ingest", "retrain/retrain", "forecast/forecast"])
def test_schedule_that_is_switched_on_plans_runs(served: Served, name: str) -> None:
    """SQLAlchemy 2.1 fails in the server's own code for this, and nothing but its log says so."""
    deployment = served.deployment(name)
    (schedule,) = deployment["schedules"]
    switch = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
    asked = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    assert not schedule["active"]
    assert served.post("/flow_runs/filter", asked) == []
    served.send("PATCH", switch, {"active": True}).raise_for_status()
    try:
        until = time.monotonic() + 90
        while not (planned := served.post("/flow_runs/filter", asked)):
            assert time.monotonic() < until, (served.home / "prefect" / "stonk-server.log").read_text()[-3000:]
            time.sleep(0.5)
    finally:
        served.send("PATCH", switch, {"active": False}).raise_for_status()
    assert all(run["auto_scheduled"] for run in planned)


def test_schedule_and_switch_outlive_a_restart(tmp_path: Path) -> None:
    roots = ("--root", str(ROOT), "--root", str(tmp_path))
    served = Served(tmp_path, *roots, named=False)  # options would be put in the place of what was edited
    served.start()
    run = served.run(overrides=f"results_dir={tmp_path / 'results'}\nmodels_dir={tmp_path / 'models'}")
    until = time.monotonic() + 120
    while not served.tasks(run):
        assert time.monotonic() < until
        time.sleep(0.2)
    identity = served.deployment()["id"]
    schedule = {"schedule": {"cron": "0 5 * * 1-5", "timezone": "America/New_York"}, "active": True}
    served.post(f"/deployments/{identity}/schedules", [schedule])  # type: ignore[arg-type]
    served.send("PATCH", f"/deployments/{identity}", {"paused": True}).raise_for_status()
    edited = served.deployment()["parameters"]["config"] | {"seed": 77}
    served.send("PATCH", f"/deployments/{identity}", {"parameters": {"config": edited}}).raise_for_status()
    assert served.stop(signal.SIGTERM) == 130
    assert "Traceback" not in (tmp_path / "serve.log").read_text()
    until = time.monotonic() + 20
    while of_home(str(tmp_path / "prefect")):  # the server is gone as well, and soon who watched the run
        assert time.monotonic() < until
        time.sleep(0.1)
    served.start()
    try:
        after = served.deployment()
        assert after["id"] == identity
        assert [one["schedule"]["cron"] for one in after["schedules"]] == ["0 5 * * 1-5"]
        assert after["schedules"][0]["active"]
        assert after["paused"]
        assert after["parameters"]["config"]["seed"] == 77
        assert served.wait(run, seconds=60) in ("CANCELLED", "CRASHED")  # and can be retried
    finally:
        served.stop()


def test_second_serve_on_the_same_port_says_what_to_do(served: Served) -> None:
    other = Served(served.home / "second")
    other.port = served.port
    with pytest.raises(AssertionError, match="choose another --port"):
        other.start()


def test_stage_waits_for_the_accelerator(served: Served, undisturbed: tuple[str, dict[str, str]], monkeypatch) -> None:
    run, _ = undisturbed
    (served.directory(run) / "model_comparison" / "manifest.json").unlink()
    monkeypatch.setenv(locks.LOCKS, str(served.home / "locks"))
    log = served.directory(run) / "pipeline.log"
    with locks.accelerator(locks.accelerators(None), "this test"):
        served.retry(run)
        until = time.monotonic() + 120
        while "waiting for accelerator" not in log.read_text():
            assert time.monotonic() < until
            time.sleep(0.2)
        assert "this test" in log.read_text()
        assert not (served.directory(run) / "model_comparison" / "manifest.json").exists()
    assert served.wait(run) == "COMPLETED"


def test_slot_that_a_killed_run_left_taken_is_freed(served: Served, undisturbed: tuple[str, dict[str, str]]) -> None:
    run, _ = undisturbed
    limit = accelerator_limit(served)
    assert (limit["limit"], limit["active_slots"]) == (1, 0)
    path = f"/v2/concurrency_limits/{limit['id']}"
    served.send("PATCH", path, {"active_slots": 1}).raise_for_status()  # as a killed run leaves it
    (served.directory(run) / "model_comparison" / "manifest.json").unlink()
    served.retry(run)
    assert served.wait(run) == "COMPLETED"
    assert accelerator_limit(served)["active_slots"] == 0


def accelerator_limit(served: Served) -> dict[str, Any]:
    """The one limit of this machine's accelerators; deployments have limits of their own."""
    limits = served.post("/v2/concurrency_limits/filter", {})
    (limit,) = [one for one in limits if one["name"].startswith("accelerator:")]
    return dict(limit)
