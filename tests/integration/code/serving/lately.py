"""A Serve application for tests that answers with online features."""

from air_features import OnlineFeatures
from ray import serve
from starlette.requests import Request


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Lately:
    """Answers with the features of the carrier that is asked for."""

    def __init__(self):
        self.online = OnlineFeatures()

    async def __call__(self, request: Request):
        return self.online.read([{"carrier": request.query_params["carrier"]}])[0]


def build(args: dict):
    """Build the application."""
    return Lately.bind()
