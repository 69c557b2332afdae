"""What a feature store gives to an application: the contract behind ``features=`` of a deployment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import airflow_provider_air.drivers.online


@dataclass(frozen=True)
class OnlineStore:
    """
    What only an Airflow connection knows of the store that replicas read.

    :param env_vars: what the application's environment says of it; anybody can read it, so no secrets
    :param probe: asks whether the store would serve; blocks, and raises ConfigurationError or UnavailableError
    """

    env_vars: Mapping[str, str] = field(default_factory=dict)
    probe: Callable[[], object] = lambda: None


@runtime_checkable
class FeaturesSpec(Protocol):
    """
    What an author writes, such as ``FeastFeatures(...)``: a plain dataclass.

    The side of the replicas is one file in ``drivers/online``, which finds what travelled by its name.

    :param online_opener: ``module:function`` that turns the spec into an :class:`OnlineStore`, where Airflow is known
    """

    template_fields: ClassVar[tuple[str, ...]]
    online_opener: ClassVar[str]

    def validate(self, datasets: Collection[str]) -> None:
        """
        Check the fields for a workload that reads these data sets.

        :raises ConfigurationError: a field is wrong, by its name; or this store joins no data sets
        """

    def validate_for_serving(self) -> None:
        """:raises ConfigurationError: a field is wrong, by its name."""

    @property
    def serving_folders(self) -> dict[str, Path]:
        """What travels with an application, by the name that each gets on ``sys.path``."""

    @property
    def serving_env(self) -> dict[str, str]:
        """What an application's environment says; anybody can read it, so no secrets."""


def online_module() -> dict[str, Path]:
    """Give what replicas read by: ``from air_features import OnlineFeatures``."""
    return {"air_features": Path(airflow_provider_air.drivers.online.__path__[0])}
