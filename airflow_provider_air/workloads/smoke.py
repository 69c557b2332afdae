"""The request that proves a new version of a Serve application; what its fields mean is ``drivers/serve/smoke.py``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import fields


@dataclass
class SmokeTest:
    """
    A request that a new version must answer well: before it gets the route (blue/green), or right after.

    Sent by the cluster's own HTTP proxy, from the cluster.

    :param path: below the application's route; empty is the route itself
    :param method: GET, or POST with a body, unless given
    :param body: text as it is, anything else as JSON
    :param headers: shown to whoever can read the DAG; no secrets
    :param expected_status: one status, or several
    :param json_subset: what the JSON answer must contain; objects may hold more
    :param json_path: by path (``predictions[0].delay``), the value that must be there
    :param regex: a pattern that must be found in the body
    :param max_latency_seconds: the longest that any sample may take
    :param samples: how many requests must be answered well
    :param warmup_requests: requests before, whose time does not count
    :param timeout_seconds: how long one answer may take at all
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "path",
        "method",
        "body",
        "headers",
        "expected_status",
        "json_subset",
        "json_path",
        "regex",
        "max_latency_seconds",
        "samples",
        "warmup_requests",
        "timeout_seconds",
    )

    path: str = ""
    method: str | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    expected_status: int | list[int] = 200
    json_subset: Any = None
    json_path: dict[str, Any] = field(default_factory=dict)
    regex: str | None = None
    max_latency_seconds: float | None = None
    samples: int = 1
    warmup_requests: int = 1
    timeout_seconds: float = 30.0

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        if not isinstance(self.path, str) or (self.path and not self.path.startswith(("/", "?"))):
            raise ConfigurationError(f"'smoke_test.path' must start with '/', not {self.path!r}")
        if self.method is not None and (not isinstance(self.method, str) or not self.method.isalpha()):
            raise ConfigurationError(f"'smoke_test.method' must be an HTTP method, not {self.method!r}")
        statuses = self.expected_status if isinstance(self.expected_status, list) else [self.expected_status]
        if not statuses or not all(type(status) is int and 100 <= status <= 599 for status in statuses):
            raise ConfigurationError(
                f"'smoke_test.expected_status' must be HTTP statuses, not {self.expected_status!r}"
            )
        fields.mapping(self.headers, "smoke_test.headers")
        fields.mapping(self.json_path, "smoke_test.json_path")
        fields.plain_json([self.body, self.json_subset], "smoke_test")
        fields.number(self.samples, "smoke_test.samples", minimum=1, integer=True)
        fields.number(self.warmup_requests, "smoke_test.warmup_requests", minimum=0, integer=True)
        fields.number(self.max_latency_seconds, "smoke_test.max_latency_seconds", minimum=0)
        fields.number(self.timeout_seconds, "smoke_test.timeout_seconds", minimum=0.001)
        try:
            re.compile(self.regex or "")
        except (re.error, TypeError) as error:
            raise ConfigurationError(f"'smoke_test.regex' is no regular expression: {error}") from None
