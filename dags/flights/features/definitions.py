"""How late flights were in the last seven days, by carrier and by route: a Feast feature repository."""

import os
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

FOLDER = os.environ["FLIGHTS_FOLDER"] + "/features"
carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING)
route = Entity(name="route", join_keys=["route"], value_type=ValueType.STRING)


def of_the_last_week(entity: Entity) -> FeatureView:
    """Describe what Spark writes for one kind of entity, a value for each day."""
    key = entity.name
    return FeatureView(
        name=f"{key}_delays",
        entities=[entity],
        ttl=timedelta(days=14),
        schema=[Field(name=f"{key}_mean_delay", dtype=Float64), Field(name=f"{key}_flights", dtype=Int64)],
        source=FileSource(name=f"{key}_delays", path=f"{FOLDER}/{key}", timestamp_field="event_timestamp"),
    )


carrier_delays = of_the_last_week(carrier)
route_delays = of_the_last_week(route)
delays_v1 = FeatureService(name="delays_v1", features=[carrier_delays, route_delays])
