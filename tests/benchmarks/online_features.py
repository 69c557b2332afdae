"""What does a request pay for online features?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from airflow_provider_air.attachments.feast.features import FeastFeatures
from airflow_provider_air.contracts.clusters import ClusterRef
from tests.benchmarks.rig import feature_repo
from tests.benchmarks.rig.heads import real_head
from tests.benchmarks.rig.report import Report, alternated, percentile
from tests.benchmarks.rig.worker import connected
from tests.serving import deploy_operator, execute

CODE = Path(__file__).parent / "code"
ENTITY_ROWS = (1, 100)
REQUESTS = 1000
QUICK_REQUESTS = 100
WARM_UP = 20


def measure(*, quick: bool) -> Iterator[Report]:
    """One replica with features and one without, asked in turn by one client."""
    requests = QUICK_REQUESTS if quick else REQUESTS
    report = Report(
        "online_features",
        f"milliseconds of a request that one Serve replica answers with two online features of each of its rows "
        f"(FeastFeatures, a store in SQLite), over one that answers as much without reading; {requests} requests of "
        "each, by one client over one connection, in turn",
        quick=quick,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        real_head("online", num_cpus=4, idle_timeout_seconds=None) as (ref, transport),
        connected(transport),
        httpx.Client(trust_env=False, timeout=60) as http,
    ):
        repo = feature_repo.write(Path(folder), materialized=True)
        features = _deploy(ref, "lately", features=FeastFeatures(str(repo), feature_repo.SERVICE))
        urls = {"features": features, "floor": _deploy(ref, "nothing")}
        for rows in ENTITY_ROWS:
            _check(http, features, rows)
            _times(http, urls, rows, WARM_UP)
            _tell(report, rows, _times(http, urls, rows, requests))
    report.note(
        "a read holds up the replica's event loop: what waits behind it, with more than one client, is not in here"
    )
    yield report


def _deploy(ref: ClusterRef, builder: str, **options: Any) -> str:
    code = {"import_path": f"online:{builder}", "working_dir": str(CODE)}
    return str(execute(deploy_operator(ref, "v", application=builder, **code, **options))["url"])


def _check(http: httpx.Client, url: str, rows: int) -> None:
    """:raises RuntimeError: the replica does not answer with the values that the store has."""
    carriers = feature_repo.CARRIERS[:rows]
    found = http.post(url, json=_entities(rows)).raise_for_status().json()
    if found != [feature_repo.latest(carrier) for carrier in carriers]:
        raise RuntimeError(f"these are not the values of {carriers}: {found}"[:2000])


def _times(http: httpx.Client, urls: Mapping[str, str], rows: int, requests: int) -> dict[str, list[float]]:
    entities = _entities(rows)

    def ask(url: str) -> float:
        began = time.perf_counter()
        http.post(url, json=entities).raise_for_status()
        return (time.perf_counter() - began) * 1000

    return alternated(requests, features=lambda: ask(urls["features"]), floor=lambda: ask(urls["floor"]))


def _entities(rows: int) -> list[dict[str, str]]:
    return [{"carrier": carrier} for carrier in feature_repo.CARRIERS[:rows]]


def _tell(report: Report, rows: int, times: Mapping[str, list[float]]) -> None:
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        values = {side: percentile(of_side, share) for side, of_side in times.items()}
        for side, value in values.items():
            report.number(f"rows_{rows}.{side}.{name}", value, "ms")
        report.number(f"rows_{rows}.ratio.{name}", values["features"] / values["floor"], "1")
