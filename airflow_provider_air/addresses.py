"""Addresses of servers, as people write them into connections and fields."""

from __future__ import annotations

import re

from airflow_provider_air.errors import ConfigurationError

_PLACE = re.compile(r"([^:\[\]]*|\[[^\]]*\])(:\d*)?")


def is_bare(url: str) -> bool:
    """
    Tell whether an address holds neither password nor, of HTTP, a user: often it is a token.

    Elsewhere a user may be a name that is part of the address, such as the container of
    ``abfss://container@account.dfs.core.windows.net``. Without a scheme it is taken for HTTP.
    """
    scheme, sign, rest = url.partition("://")
    if not sign:
        scheme, rest = "http", url
    place = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    # A password with a slash in it ends the place too early, and leaves what is no port behind.
    user = place.rpartition("@")[0] if "@" in place else "" if _PLACE.fullmatch(place) or "@" not in rest else place
    return ":" not in user and not (user and scheme.lower() in ("http", "https"))


def check_bare(url: str, what: str, *, where: str | None = None, hint: str | None = None) -> str:
    """
    Refuse an address with credentials inside: addresses are shown, in links, messages and to whoever can list jobs.

    :param what: which field it is, for the message
    :param where: where the field is, such as a connection
    :param hint: where credentials belong instead
    :return: the address
    :raises ConfigurationError: it holds credentials; the message repeats nothing of the address
    """
    if not is_bare(url):
        raise ConfigurationError(
            f"{what} holds a user or a password",
            where=where,
            hint=hint or "Leave them out of the address: give them by the fields that are meant for them",
        )
    return url
