"""Addresses of servers, as people write them into connections and fields."""

from __future__ import annotations

import re

from airflow_provider_air.errors import ConfigurationError

# A host with its port; some addresses name several.
_ONE = r"(?:[^:,\[\]]*|\[[^\]]*\])(?::\d*)?"
_PLACE = re.compile(rf"{_ONE}(?:,{_ONE})*")
# What stands for a value that is not shown: of a shell, also with a default, of templates, formats and masks. None
# holds an @, for an address could be inside.
_PLACEHOLDER = re.compile(
    r"\$?\{\{[^{}@]*\}\}|\$\{(?:[^{}@]|\$\{[^{}@]*\})+\}|\$\w+|\$\([^()@]*\)"
    r"|\{[^{}@:/\s\"'`]*(?:[\[(][^{}@]*[\])])?\}|%(?:\(\w+\))?s|\*{3}"
)
_ANY = "\0"
# Each address in a text, also one inside of another one. A quote is its end, but for one in a password.
_ADDRESS = re.compile(
    r"(?<![A-Za-z0-9])(?=([A-Za-z0-9][A-Za-z0-9+.-]{0,31}://(?:[^\s\"'`]|[\"'`](?![,;:+)\]}>])(?=\S*@))*))"
)
# Users that everybody knows: the first of Git, the others of package indexes, for whom a keyring has the password.
_PUBLIC = "git|oauth2accesstoken|aws|VssSessionToken|__token__|_json_key(?:_base64)?"
# A shell joins what is quoted.
_QUOTES = r"[\"'`]*"
# Credentials that show none: a placeholder as the password, or as the token, or a public user alone.
_SHOWS_NONE = re.compile(rf"(?:(?<=://)|(?<!\S)(?://)?)(?:(?:[^\s:@/]*:)?{_QUOTES}{_ANY}+{_QUOTES}:?|(?:{_PUBLIC}):?)@")


def is_bare(url: str) -> bool:
    """
    Tell whether an address holds neither password nor, of HTTP, a user: often it is a token.

    Elsewhere a user may be a name that is part of the address, such as the container of
    ``abfss://container@account.dfs.core.windows.net``. Without a scheme it is taken for HTTP.
    """
    scheme, sign, rest = url.partition("://")
    if not sign:
        scheme, rest = "http", url.removeprefix("//")
    place = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    # A password with a slash in it ends the place too early, and leaves what is no port behind.
    user = place.rpartition("@")[0] if "@" in place else "" if _PLACE.fullmatch(place) or "@" not in rest else place
    # Of git+https, too.
    return ":" not in user and not (user and scheme.lower().rpartition("+")[2] in ("http", "https"))


def are_bare(text: str, *, is_proxy: bool = False) -> bool:
    """
    Tell whether all addresses in a text are, see :func:`is_bare`.

    One is, too, with a placeholder for what is secret, such as a shell's ``${VARIABLE}``, or with a user that everybody
    knows.

    :param is_proxy: its words are addresses, also without a scheme
    """
    # Elsewhere a placeholder is a host or a port.
    text = _SHOWS_NONE.sub("", _PLACEHOLDER.sub(_ANY, text)).replace(_ANY, "0")
    found = [match.group(1) for match in _ADDRESS.finditer(text)]
    if is_proxy:
        found += text.split()
    return all(is_bare(address) for address in found)


def without_credentials(text: str, *, is_proxy: bool = False) -> str:
    """Give a text with ``***`` in the place of what :func:`are_bare` finds; of all of it where that is not simple."""
    if are_bare(text, is_proxy=is_proxy):
        return text
    rest = re.sub(r"(?<=://)\S*@", "***@", text)
    return rest if are_bare(rest, is_proxy=is_proxy) else "***"


def is_proxy(variable: str) -> bool:
    """Tell whether an environment variable of this name holds a proxy's address."""
    return variable.lower().endswith("_proxy") and variable.lower() != "no_proxy"


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
