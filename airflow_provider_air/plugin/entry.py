"""
What Airflow's plugin manager loads, in every process that has plugins: so it imports nothing, and builds nothing.

The pages themselves are built when the first request comes, in the api-server.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

URL_PREFIX = "/air"


class LazyPages:
    """The ASGI application that Airflow mounts. For any number of event loops."""

    def __init__(self) -> None:
        self._app: App | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._app
        if app is None:
            # Beside the event loop, which answers others meanwhile.
            app = await asyncio.to_thread(self._build)
        await app(scope, receive, send)

    def _build(self) -> App:
        with self._lock:
            if self._app is None:
                from airflow_provider_air.plugin.app import build_app

                self._app = build_app()
            app: App = self._app
            return app


class AirPlugin(AirflowPlugin):
    """The Ray tab of a task instance, the Ray page of a DAG run, and the clusters' page in the navigation."""

    name = "air"
    fastapi_apps: list[Any] = [{"app": LazyPages(), "url_prefix": URL_PREFIX, "name": "air"}]  # noqa: RUF012  # as its base declares it
    # No leading slash, so that a deployment below a path works. Of a task that is not mapped, Airflow leaves
    # {MAP_INDEX} as it is (3.3.2).
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Ray",
            "href": "air/task/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}",
            "destination": "task_instance",
            "url_route": "ray",
        },
        {
            "name": "Ray",
            "href": "air/run/{DAG_ID}/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "ray-run",
        },
        {
            "name": "Ray clusters",
            "href": "air/clusters",
            "destination": "nav",
            "url_route": "ray-clusters",
            "category": "browse",
        },
    ]
