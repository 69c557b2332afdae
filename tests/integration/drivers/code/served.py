"""A registered model behind an endpoint; runs on Ray Serve."""

from typing import Any

from ray import serve
from starlette.requests import Request


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Served:
    """Answers ``POST [row, ...]`` with what MLflow's model predicts."""

    def __init__(self, model: str) -> None:
        import mlflow

        self.uri = model
        self.model = mlflow.pyfunc.load_model(model)

    async def __call__(self, request: Request) -> dict[str, Any]:
        import pandas

        rows = pandas.DataFrame(await request.json())
        return {"model": self.uri, "predictions": [float(value) for value in self.model.predict(rows)]}


def build(args: dict[str, Any]) -> Any:
    """Build the application."""
    deployment: Any = Served
    return deployment.bind(args["model"])
