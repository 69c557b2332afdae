"""Options of Serve itself, which all its applications share: most of them count when it starts, and never again."""

from __future__ import annotations

import json
import os
import random
import socket
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from ..wire.names import LOCAL_CLUSTER
from ..wire.problems import ConfigurationProblem
from .lock import NAMESPACE

# Serve reads these when it starts (Ray 2.60); to other values of a later PUT it says nothing, or logs a warning.
FIXED = ("http_options", "grpc_options", "proxy_location", "controller_options")
# Of these it does not tell what they are.
UNTOLD = ("controller_options", "logging_config")
# As for the ports of a local cluster's head: below the kernel's ephemeral ports.
FIRST_PORT, LAST_PORT = 20000, 31999
_KEY = b"instance"


class Instance:
    """
    What a deployment wants of Serve itself.

    :param wish: options by Serve's own names; None is no wish
    :param store: Ray's GCS client, which keeps what Serve was started with
    """

    def __init__(self, wish: Mapping[str, Any], store: Any) -> None:
        self._wish = {name: value for name, value in wish.items() if value is not None}
        self._store = store

    def check(self, details: Mapping[str, Any]) -> List[str]:
        """
        Compare with a Serve that runs, and say what it keeps to itself: whether it has these options.

        :raises ConfigurationProblem: it runs with others, which it would keep in silence
        """
        if not details.get("controller_info"):
            return []
        untold = []
        for place, wanted, now in self._pairs(details):
            if now is _ABSENT:
                untold.append(place)
            elif now != wanted and place.startswith("logging_config"):
                untold.append(place)  # the applications of this deployment get it all the same
            elif now != wanted:
                raise ConfigurationProblem(
                    "Serve runs with %s=%r, which cannot be changed to %r while it runs; leave it out, or shut Serve "
                    "down first" % (place, now, wanted)
                )
        return [
            "Serve runs already, and its own processes read %s only when they start: what they were told then is not "
            "known, or other, and stays" % place
            for place in untold
        ]

    def to_start(self) -> Dict[str, Any]:
        """Give the options for the write that starts Serve."""
        return {**self._wish, "http_options": {**default_http_options(), **self._wish.get("http_options", {})}}

    def to_change(self) -> Dict[str, Any]:
        """Give the options for a write to a Serve that runs: those that it takes at any time."""
        # With the logging of the whole, Serve would change other applications too, which have none of their own.
        return {name: value for name, value in self._wish.items() if name not in (*FIXED, "logging_config")}

    def remember(self, details: Mapping[str, Any]) -> None:
        """Write down what this Serve was started with, as far as it will not tell."""
        known = {name: self._wish.get(name) or {} for name in UNTOLD}
        data = json.dumps({"controller": _controller(details), "options": known}).encode()
        self._store.internal_kv_put(_KEY, data, True, NAMESPACE)

    def _pairs(self, details: Mapping[str, Any]) -> Iterator[Tuple[str, Any, Any]]:
        for name in (*FIXED, "logging_config"):
            wanted = self._wish.get(name)
            if wanted is None:
                continue
            if name in UNTOLD:
                yield name, wanted, self._started_with(details).get(name, _ABSENT)
            elif isinstance(wanted, Mapping):
                now = details.get(name) or {}
                yield from (("%s.%s" % (name, key), value, now.get(key, _ABSENT)) for key, value in wanted.items())
            else:
                yield name, wanted, details.get(name, _ABSENT)

    def _started_with(self, details: Mapping[str, Any]) -> Dict[str, Any]:
        data = self._store.internal_kv_get(_KEY, NAMESPACE)
        known = json.loads(data) if data else {}
        return known["options"] if known.get("controller") == _controller(details) else {}


_ABSENT = object()


def _controller(details: Mapping[str, Any]) -> Any:
    return (details.get("controller_info") or {}).get("actor_id")


def default_http_options() -> Dict[str, Any]:
    """Choose where Serve listens when it starts: Ray's default, and a free port of its own on a local cluster."""
    if LOCAL_CLUSTER not in os.environ:
        return {}
    for port in random.sample(range(FIRST_PORT, LAST_PORT + 1), 200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return {"host": "127.0.0.1", "port": port}
    raise RuntimeError("no free port for Serve was found")
