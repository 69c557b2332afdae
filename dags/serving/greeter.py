"""The application of the Serve examples: greets in the tone of its version, or breaks on purpose."""

from __future__ import annotations

from typing import Any

from ray import serve
from starlette.requests import Request


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Greeter:
    """Answers ``?name=Ada`` with a greeting."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Greet."""
        name = request.query_params.get("name", "you")
        return {"text": f"{self.greeting}, {name}!", "length": len(name)}


def build(args: dict[str, Any]) -> Any:
    """Build the application; ``args`` come from the DAG."""
    deployment: Any = Greeter
    return deployment.bind(args["greeting"])
