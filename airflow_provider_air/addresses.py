"""Addresses of servers, as people write them into connections and fields."""

from __future__ import annotations

import re

from airflow_provider_air.errors import ConfigurationError

_PLACE = re.compile(r"([^:\[\]]*|\[[^\]]*\])(:\d*)?")


def check_bare(url: str, what: str, *, where: str | None = None, hint: str | None = None) -> str:
    """
    Refuse an address with a password inside: addresses are shown, in links, messages and to whoever can list jobs.

    Of HTTP addresses a user alone is refused, too: often it is a token. Elsewhere it may be a name that is part of the
    address, such as the container of ``abfss://container@account.dfs.core.windows.net``.

    :param what: which field it is, for the message
    :param where: where the field is, such as a connection
    :param hint: where credentials belong instead
    :return: the address
    :raises ConfigurationError: it holds credentials; the message repeats nothing of the address
    """
    scheme, sign, rest = url.partition("://")
    if not sign:
        scheme, rest = "http", url
    place = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    # A password with a slash in it ends the place too early, and leaves what is no port behind.
    user = place.rpartition("@")[0] if "@" in place else "" if _PLACE.fullmatch(place) or "@" not in rest else place
    if ":" in user or (user and scheme.lower() in ("http", "https")):
        raise ConfigurationError(
            f"{what} holds a user or a password",
            where=where,
            hint=hint or "Leave them out of the address: give them by the fields that are meant for them",
        )
    return url
