"""A Serve application for tests: it answers which version it is, or fails in the ways that models do."""

import asyncio
import os
import time

from ray import serve
from starlette.requests import Request


# The slow requests of a test must not take the places of the quick ones: Serve gives a replica 5 by default.
@serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.1})
class Model:
    """Answers with its version."""

    def __init__(self, version, fails=False, slow_seconds=0):
        time.sleep(slow_seconds)
        if fails:
            raise FileNotFoundError(f"no model at s3://models/{version}")
        self.version = version

    async def __call__(self, request: Request):
        await asyncio.sleep(float(request.query_params.get("sleep", 0)))
        return {"version": self.version, "pid": os.getpid(), "doubled": 2 * int(request.query_params.get("x", 0))}


def build(args: dict):
    """Build the application; ``num_cpus`` is what one replica needs."""
    model = Model.options(ray_actor_options={"num_cpus": float(args.pop("num_cpus", 0.1))})
    return model.bind(**args)
