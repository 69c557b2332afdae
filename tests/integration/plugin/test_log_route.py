"""What the tab's log rests on: Airflow's own route goes on from the token that it has given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow.configuration import conf

from tests.airflow_site import AirflowSite


def test_airflow_goes_on_from_its_token_while_a_try_runs(site: AirflowSite) -> None:
    task = site.add_task("logged")
    file = Path(conf.get("logging", "base_log_folder"), "dag_id=logged/run_id=r/task_id=t/attempt=1.log")
    file.parent.mkdir(parents=True)

    def write(*numbers: int) -> None:
        with file.open("a") as log:
            for number in numbers:
                line = {"timestamp": f"2026-11-29T12:00:{number:02}Z", "level": "info", "event": f"line {number}"}
                log.write(f"{json.dumps(line)}\n")

    def read(token: str | None = None) -> tuple[list[str], Any]:
        asked = {"map_index": -1, "full_content": "false"} | ({"token": token} if token else {})
        answer = site.client("viewer").get("/api/v2/dags/logged/dagRuns/r/taskInstances/t/logs/1", params=asked).json()
        told = [line["event"] for line in answer["content"] if line["event"].startswith("line ")]
        return told, answer["continuation_token"]

    write(1, 2)
    told, token = read()
    assert (told, bool(token)) == (["line 1", "line 2"], True)
    write(3)
    told, token = read(token)
    assert told == ["line 3"]
    assert read(token)[0] == []
    task.change(state="success")
    write(4)
    # It gives no other one once the try is over, and the old one still holds.
    assert read(token) == read(token) == (["line 4"], None)
