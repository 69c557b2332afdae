"""Serve applications that answer rows of carriers with their features, or with nothing."""

from __future__ import annotations

from typing import Any

from ray import serve
from starlette.requests import Request


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Lately:
    """Reads the online store."""

    def __init__(self) -> None:
        from air_features import OnlineFeatures

        self.online = OnlineFeatures()

    async def __call__(self, request: Request) -> Any:
        return self.online.read(await request.json())


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Nothing:
    """Reads nothing, and answers as much."""

    async def __call__(self, request: Request) -> Any:
        return [{"mean_delay": 9000.0, "late_flights": 9} for _ in await request.json()]


def lately(args: dict[str, Any]) -> Any:
    """Build the application with features."""
    return Lately.bind()  # type: ignore[attr-defined, unused-ignore]


def nothing(args: dict[str, Any]) -> Any:
    """Build the floor."""
    return Nothing.bind()  # type: ignore[attr-defined, unused-ignore]
