"""A worker that Airflow no longer listens to, such as one of a frozen host, leaves alone what another try has now."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.contracts.runs import Wait
from tests.unit.runs.test_deadlines import Bench


@pytest.mark.parametrize(("try_number", "deleted"), [(1, 0), (3, 1)])
def test_a_cluster_is_the_next_trys_where_nothing_can_be_written_down(
    monkeypatch: pytest.MonkeyPatch, try_number: int, deleted: int
) -> None:
    bench = Bench()
    run = bench.run(try_number)
    assert isinstance(run.begin(), Wait)

    def refused(key: str, value: Any) -> None:
        raise RuntimeError("The task instance is not in the running state")

    monkeypatch.setattr(bench.store, "set", refused)
    with pytest.raises(RuntimeError):
        run.expire()

    assert len([done for done, _ in bench.clusters.calls if done == "delete"]) == deleted
