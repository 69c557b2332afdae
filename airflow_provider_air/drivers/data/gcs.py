"""
Google Cloud Storage by the token that a job was given; without one, pyarrow opens ``gs://`` by the node's identity.

No environment variable brings a token to pyarrow, so each process of the job makes its filesystem of the two that
:mod:`air_drivers.wire.names` names.
"""

from __future__ import annotations

import datetime
import os
import urllib.parse
from typing import Any, Dict, Optional, Tuple

import pyarrow.fs

from ..wire.names import GCS_TOKEN, GCS_TOKEN_EXPIRES

SCHEMES = ("gs", "gcs")


def opened(uri: str) -> Optional[Tuple[Any, str]]:
    """
    Open a URI with the job's token: its filesystem, and the path on it.

    :return: None where the job has no token, or the URI is of another store or asks for nobody's identity
    :raises ValueError: the URI is malformed
    """
    parts = urllib.parse.urlsplit(uri)
    if not os.environ.get(GCS_TOKEN) or parts.scheme not in SCHEMES or parts.username == "anonymous":
        return None
    _, path = pyarrow.fs.FileSystem.from_uri(uri)  # which also refuses what it does not know in the query
    query = dict(urllib.parse.parse_qsl(parts.query))
    options: Dict[str, Any] = {name: query[name] for name in _OPTIONS if name in query}
    if "retry_limit_seconds" in query:
        options["retry_time_limit"] = datetime.timedelta(seconds=float(query["retry_limit_seconds"]))
    return _filesystem(options), path


# Of a URI's query, as GcsFileSystem itself names them.
_OPTIONS = ("scheme", "endpoint_override", "project_id")


def _filesystem(options: Dict[str, Any]) -> Any:
    token = os.environ.get(GCS_TOKEN)
    if not token:  # read back by a later job that has an identity of its own
        return pyarrow.fs.GcsFileSystem(**options)
    expires = datetime.datetime.fromtimestamp(float(os.environ[GCS_TOKEN_EXPIRES]), datetime.timezone.utc)  # noqa: UP017  (Python 3.9)
    return TokenFileSystem(token, expires, options)


class TokenFileSystem(pyarrow.fs.GcsFileSystem):  # type: ignore[misc, unused-ignore]
    """
    A filesystem whose token stays in the process: what is pickled says only how to open it.

    Ray hands filesystems to its workers, which have the token, too; and Tune keeps them in the bucket, from where a
    restore would else come back with an old one.
    """

    def __init__(self, token: str, expires: datetime.datetime, options: Dict[str, Any]) -> None:
        super().__init__(access_token=token, credential_token_expiration=expires, **options)
        self._options = options

    def __reduce__(self) -> Any:
        """Open it again by the environment of whoever reads the pickle."""
        return _filesystem, (self._options,)
