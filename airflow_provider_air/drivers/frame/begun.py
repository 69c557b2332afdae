"""What an experiment of Tune was begun with: a later attempt goes on with it, or says what has changed."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping

from ..data import files
from ..wire.problems import ConfigurationProblem

FILE = "air_experiment.json"
MOST_CHARACTERS = 300


def is_begun(uri: str, wanted: Mapping[str, Any], field: str = "storage_path") -> bool:
    """
    Tell whether an earlier attempt left a state to go on from, and note what it is begun with where none did.

    :param uri: where the experiment is kept
    :param wanted: what Tune cannot change in an experiment that it restores, by the field's name
    :raises ConfigurationProblem: it was begun with another value of one of these
    :raises Unavailable: the storage is away
    """
    filesystem, path = files.open_uri(uri, field)
    place = path + "/" + FILE
    # Killed before Tune saved its first state, there is nothing to restore yet.
    if not any(name.startswith("experiment_state-") for name in files.names(uri)):
        files.write(filesystem, place, json.dumps(wanted, sort_keys=True).encode())
        return False
    mark = files.read(filesystem, place)
    if mark is not None:
        _compare(json.loads(mark.decode()), json.loads(json.dumps(wanted)), uri)
    return True


def _compare(begun: Dict[str, Any], wanted: Dict[str, Any], uri: str) -> None:
    # An earlier version has noted fewer.
    for name in sorted(set(begun) & set(wanted)):
        if begun[name] != wanted[name]:
            raise ConfigurationProblem(
                "%s: the experiment at %s was begun with another one (%s), and Tune cannot go on with a changed one. "
                "Put it back, or set on_clear='fresh' and clear the task, which begins anew"
                % (name, uri, json.dumps(begun[name])[:MOST_CHARACTERS])
            )
