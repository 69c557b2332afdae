"""The trained model behind an HTTP endpoint: flights in, predicted delays out. Runs on Ray Serve."""

from __future__ import annotations

from typing import Any

import pandas as pd
from air_features import OnlineFeatures
from delays import NUMBERS, WORDS, DelayModel
from ray import serve
from starlette.requests import Request


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Delays:
    """
    Answers ``POST [flight, ...]`` with ``{"predicted_arr_delay": [minutes, ...]}``.

    How late carrier and route have been lately is not asked of the client: it comes from the online store.

    :param checkpoint: the model's folder
    """

    def __init__(self, checkpoint: str) -> None:
        self.model = DelayModel.load(checkpoint)
        self.online = OnlineFeatures()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Predict."""
        asked = await request.json()
        keys = [{"carrier": row["carrier"], "route": f"{row['origin']}-{row['dest']}"} for row in asked]
        lately = pd.DataFrame(self.online.read(keys), columns=self.online.features)
        flights = pd.DataFrame(asked, columns=[*NUMBERS, *WORDS]).join(lately)
        return {"predicted_arr_delay": [round(float(minutes), 1) for minutes in self.model.predict(flights)]}


def build(args: dict[str, Any]) -> Any:
    """Build the application; ``args`` come from the DAG."""
    deployment: Any = Delays
    return deployment.bind(args["checkpoint"])
