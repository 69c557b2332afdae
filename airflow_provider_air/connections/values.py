"""
The border for results: what of Python comes home in an XCom, and how.

A value comes home as itself where Airflow carries it, which is tried the way that it goes. What Airflow does not
carry is held by the XCom as it travelled from the cluster: :func:`~airflow_provider_air.hooks.results.load_result` and
the arguments of ``@task.ray`` make the value of it again.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.drivers.wire.texts import spelled
from airflow_provider_air.drivers.wire.values import TAG, Undecoded, encode
from airflow_provider_air.runs.values import is_simple

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Log

MOST_PATHS = 5
# Beyond 64 bits.
MOST_DECIMAL_EXPONENT = 20


def carried(value: Any, log: Log, name: str = "result") -> Any:
    """
    Give what an XCom carries of a value; never raises. One line in the log says what comes home as something else.

    :param name: how the log calls it
    """
    border = _Border()
    home = border.carry(value, name)
    if border.lost:
        log.warning("An XCom carries neither NaN nor infinities, so these are None in it: %s", _listed(border.lost))
    if border.encoded:
        log.info(
            "An XCom does not carry these as they are; load_result() and the arguments of @task.ray give them back: %s",
            _listed(border.encoded),
        )
    if border.told:
        log.warning("These cannot leave this process, and only their text is in the XCom: %s", _listed(border.told))
    return home


def has_outputs(home: Any) -> bool:
    """Tell whether what an XCom carries is a dict of which Airflow makes XComs by its keys (``multiple_outputs``)."""
    return isinstance(home, dict) and TAG not in home and all(isinstance(key, str) for key in home)


def _listed(paths: Sequence[str]) -> str:
    more = len(paths) - MOST_PATHS
    return spelled(", ".join(paths[:MOST_PATHS]) + (f" and {more} more" if more > 0 else ""))


class _Border:
    """One value's way; notes the places inside it that come home as something else."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.encoded: list[str] = []
        self.told: list[str] = []

    def carry(self, value: Any, path: str) -> Any:
        if is_simple(value) or _comes_home(value):
            return value
        if _is_no_number(value):
            self.lost.append(path)
            return None
        if isinstance(value, dict) and not isinstance(value, Undecoded) and _has_plain_keys(value):
            return {key: self.carry(item, f"{path}[{key!r}]") for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self.carry(item, f"{path}[{number}]") for number, item in enumerate(value)]
            return items if isinstance(value, list) else tuple(items)
        if isinstance(value, (set, frozenset)) and all(_is_no_number(item) or _comes_home(item) for item in value):
            return type(value)(self.carry(item, path) for item in value)
        if isinstance(value, datetime.datetime) and value.tzinfo is not None and _comes_home(utc := _in_utc(value)):
            # The same moment: Airflow reads no bare offset back.
            return utc
        return self._encode(value, path)

    def _encode(self, value: Any, path: str) -> Any:
        form = encode(value, path, self.told)
        if is_simple(form):
            # The text of what cannot travel.
            return form
        self.encoded.append(path)
        return form if _crosses(form) else {TAG: "json", "value": json.dumps(form)}


def _is_no_number(value: Any) -> bool:
    if isinstance(value, decimal.Decimal):
        return not value.is_finite()
    return isinstance(value, float) and not math.isfinite(value)


def _in_utc(value: datetime.datetime) -> datetime.datetime:
    try:
        return value.astimezone(datetime.UTC)
    except OverflowError:
        return value


def _has_plain_keys(value: dict[Any, Any]) -> bool:
    return TAG not in value and _comes_home(dict.fromkeys(value))


def _comes_home(value: Any) -> bool:
    """Try a value's way there and back; one that could be taken for something encoded does not come home as itself."""
    try:
        return not _is_vast(value) and TAG not in (sent := _sent(value)) and _is_same(_received(sent), value)
    except Exception:  # noqa: BLE001  # whatever it is, it will not be raised after the job has succeeded
        return False


def _is_vast(value: Any) -> bool:
    """Tell whether it is or holds a ``Decimal`` of which Airflow's serializer would make an integer, for minutes."""
    if isinstance(value, decimal.Decimal):
        return value.is_finite() and value.adjusted() > MOST_DECIMAL_EXPONENT
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple, set, frozenset)):
        return False
    return any(map(_is_vast, value))


def _crosses(value: Any) -> bool:
    try:
        return _is_same(_received(_sent(value)), value)
    except Exception:  # noqa: BLE001  # as above
        return False


def _is_same(found: Any, value: Any) -> bool:
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        # An hour that comes twice is equal to none of another zone object.
        return bool(_in_utc(found) == _in_utc(value))
    # A table compares its cells, not itself.
    return bool(value.equals(found) if hasattr(type(value), "equals") else found == value)


def _sent(value: Any) -> str:
    """
    Give the JSON that a value is on its way to the api-server (3.3.2): Airflow's own serializer, msgpack, httpx.

    :raises ValueError: the line or the database refuses it
    """
    import msgspec
    from airflow.sdk.serde import serialize

    crossed = msgspec.msgpack.decode(msgspec.msgpack.encode(serialize(value)))
    sent = json.dumps(crossed, allow_nan=False)
    # Postgres' JSONB takes no NUL, wherever it is.
    if "\\u0000" in sent:
        raise ValueError("NUL")
    return sent


def _received(sent: str) -> Any:
    from airflow.sdk.serde import deserialize

    return deserialize(json.loads(sent, parse_float=_number))


def _number(text: str) -> float:
    """
    Read a number with a point or an exponent.

    :raises ValueError: Postgres' JSONB gives it back as an integer that Airflow's line to the next task does not take
    """
    if not is_simple(number := float(text)):
        raise ValueError(text)
    return number
