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
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.drivers.wire.records import TAG, EncodeError, Undecoded, encode
from airflow_provider_air.runs.values import is_simple, plain, text

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Log

MOST_PATHS = 5


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


def _listed(paths: Sequence[str]) -> str:
    more = len(paths) - MOST_PATHS
    return text(", ".join(paths[:MOST_PATHS]) + (f" and {more} more" if more > 0 else ""))


class _Border:
    """One value's way; notes the places inside it that come home as something else."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.encoded: list[str] = []
        self.told: list[str] = []

    def carry(self, value: Any, path: str) -> Any:
        if is_simple(value) or _comes_home(value):
            return value
        if isinstance(value, (float, decimal.Decimal)):
            self.lost.append(path)
            return None
        if isinstance(value, Undecoded) or (isinstance(value, dict) and not _has_plain_keys(value)):
            return self._encode(value, path)
        if isinstance(value, dict):
            return {key: self.carry(item, f"{path}[{key!r}]") for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self.carry(item, f"{path}[{number}]") for number, item in enumerate(value)]
            return items if isinstance(value, list) else tuple(items)
        if isinstance(value, (set, frozenset)) and all(_is_nan(item) or _comes_home(item) for item in value):
            return type(value)(self.carry(item, path) for item in value)
        if isinstance(value, datetime.datetime) and value.tzinfo is not None and _comes_home(utc := _in_utc(value)):
            # The same moment: Airflow reads no bare offset back.
            return utc
        return self._encode(value, path)

    def _encode(self, value: Any, path: str) -> Any:
        try:
            form = encode(value, path)
            if not _crosses(form):
                form = {TAG: "json", "value": json.dumps(form)}
        except (EncodeError, ValueError, RecursionError):
            self.told.append(path)
            return plain(value)
        self.encoded.append(path)
        return form


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and not is_simple(value)


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
        return TAG not in (sent := _sent(value)) and bool(_received(sent) == value)
    except Exception:  # noqa: BLE001  # whatever it is, it will not be raised after the job has succeeded
        return False


def _crosses(value: Any) -> bool:
    try:
        return bool(_received(_sent(value)) == value)
    except Exception:  # noqa: BLE001  # as above
        return False


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

    return deserialize(json.loads(sent))
