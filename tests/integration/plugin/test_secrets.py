"""What nobody is to see is on no page, wherever it is stored."""

from __future__ import annotations

import pytest

from tests.airflow_site import AirflowSite

CANARY = "canary-7f3a"
PATHS = ["task/{0}/r/t/-1", "api/task/{0}/r/t/-1", "api/run/{0}/r", "api/clusters", "api/compare/{0}/t/-1"]


@pytest.mark.parametrize("path", [*PATHS, "report/{0}/r/t/-1"])
def test_a_secret_of_a_connection_or_of_a_ledger_is_nowhere(site: AirflowSite, path: str) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        if session.scalar(select(Connection).where(Connection.conn_id == "ray_default")) is None:
            extra = f'{{"token": "{CANARY}"}}'
            session.add(Connection("ray_default", "ray", host="ray", password=CANARY, extra=extra))
    dag_id = f"secret{abs(hash(path))}"
    task = site.add_task(dag_id)
    details = {"ray_conn_id": "ray_default", "token": CANARY, "headers": {"authorization": CANARY}}
    spec = {"kind": "mlflow", "fields": {"uri": f"https://user:{CANARY}@mlflow/"}}
    attempt = {
        "submission_id": "air-1",
        "generation": 1,
        "number": 1,
        "phase": "submitted",
        "steps": {"sent": 1.0},
        "cluster": {"backend": "existing", "name": "ray_default", "details": details, "extra": CANARY},
        "attachments": [{"spec": spec, "state": {"run_id": "1", "token": CANARY}, "untold": CANARY}],
        "key": {"deployment": CANARY},
        "unknown": CANARY,
    }
    task.set("air_ledger", {"version": 1, "nonce": CANARY, "attempts": [attempt]})
    task.set("air_about", {"submission_id": "air-1", "trackers": [{"kind": "mlflow", "token": CANARY}], "x": CANARY})
    task.set("air_elsewhere", CANARY)
    task.push("somebody_elses", CANARY)
    task.push("progress", {"submission_id": "air-1", "status": "RUNNING", "token": CANARY})
    cluster = {"name": "ray_default", "token": CANARY, "nodes": [{"id": "n", "env": CANARY}]}
    task.push("air_history", {"version": 1, "submission_id": "air-1", "cluster": cluster, "env": CANARY})
    answer = site.client("admin").get(f"/air/{path.format(dag_id)}")
    assert answer.status_code == 200
    assert CANARY not in answer.text
