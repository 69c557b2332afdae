"""Are the local clusters of this host in order, or has one been left behind."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_air.cli.checks import BROKEN, NOTE, OK, Finding
from airflow_provider_air.cli.clusters import seconds_to_live
from airflow_provider_air.connections.ports import backend_of
from airflow_provider_air.contracts.clusters import ClusterState
from airflow_provider_air.errors import AirError

# A supervisor looks every second; one that is this late does not look any more.
LATE_SECONDS = 60.0


def check_local_clusters() -> Iterator[Finding]:
    """Look at each local cluster of this user on this host."""
    backend = backend_of("local")
    try:
        made = backend.list()
    except AirError as error:
        yield Finding("local clusters", BROKEN, error.what, error.hint or "")
        return
    if not made:
        yield Finding("local clusters", OK, "none on this host")
    for listed in made:
        check = f"local cluster {listed.ref.name}"
        status = backend.describe(listed.ref)
        left = seconds_to_live(listed)
        remedy = f"airflow air clusters delete {listed.ref.name}"
        if status.state is ClusterState.FAILED:
            yield Finding(check, NOTE, f"left behind: {status.message}", remedy)
        elif left is not None and left < -LATE_SECONDS:
            yield Finding(check, NOTE, f"should have gone {-left:.0f} s ago", remedy)
        elif left is None:
            yield Finding(check, NOTE, f"{status.state.value}, and never expires by age", f"When done: {remedy}")
        else:
            yield Finding(check, OK, status.state.value)
