"""What tests and benchmarks of Serve share: deploy by the operator, and clients that never stop asking."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import httpx

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.operators.serve import RayServeDeployOperator, ServeJobOperator
from tests.fakes.task_context import Store, task_context

CODE = Path(__file__).parent / "integration" / "code" / "serving"


def deploy_operator(ref: ClusterRef, version: str, **options: Any) -> RayServeDeployOperator:
    """Make the operator that deploys ``model.py`` with this version; ``args`` go to its builder."""
    application = options.pop("application", "flights")
    return RayServeDeployOperator(
        **{
            "task_id": f"deploy-{application}-{version}",
            "cluster": ref.to_json(),
            "deferrable": False,
            "import_path": "model:build",
            "application": application,
            "route_prefix": f"/{application}",
            "working_dir": str(CODE),
            "healthy_timeout_seconds": 300.0,
            "drain_seconds": 1.0,
            **options,
            "args": {"version": version, **options.get("args", {})},
        }
    )


def execute(operator: ServeJobOperator, store: Store | None = None, **ti: Any) -> Any:
    """Run one try of the operator on this process, as a worker does."""
    return operator.execute(task_context(store or Store(), task_id=operator.task_id, **ti))


class Clients:
    """
    Ask a URL from several threads, at a steady rate, for the time of the block.

    :param rate: requests per second of all threads together
    """

    def __init__(self, url: str, *, rate: float = 25.0, threads: int = 5) -> None:
        self.url = url
        self.failures: list[str] = []
        self.versions: Counter[str] = Counter()
        self.slowest_seconds = 0.0
        self.seconds = 0.0
        self._pause = threads / rate
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on, args=(n / rate,)) for n in range(threads)]

    @property
    def requests(self) -> int:
        """How many were answered, well or not."""
        return sum(self.versions.values()) + len(self.failures)

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._started

    def _ask_on(self, delay: float) -> None:
        due = time.monotonic() + delay
        with httpx.Client(trust_env=False, timeout=120) as http:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += self._pause
                self._ask(http)

    def _ask(self, http: httpx.Client) -> None:
        start = time.monotonic()
        try:
            answer = http.get(self.url)
            version = str(answer.json()["version"]) if answer.status_code == 200 else None
            problem = "" if version else f"{answer.status_code} {answer.text[:200]}"
        except (httpx.HTTPError, ValueError, KeyError) as error:
            version, problem = None, repr(error)
        with self._guard:
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - start)
            if version is None:
                self.failures.append(problem)
            else:
                self.versions[version] += 1
