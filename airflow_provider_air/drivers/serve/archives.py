"""
Code behind a remote URI, whose content may be replaced while the URI stays.

Ray knows code by its URI alone: a node that has unpacked an archive once never looks again (Ray 2.60), so of a
replaced one some replicas would run the new content and others the old.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ..wire.problems import ConfigurationProblem
from .lock import NAMESPACE
from .packages import code_of

# A directory of each node's own, and what the cluster's own store has by its content.
_NOT_REMOTE = ("gcs", "local")
_SECONDS = 10.0


def check(store: Any, applications: Iterable[Mapping[str, Any]]) -> List[str]:
    """
    Compare the archives that applications load with what they were when a roll-out first saw them.

    :param store: Ray's GCS client, which keeps what they were
    :returns: what to tell of those that may have been replaced
    :raises ConfigurationProblem: one was replaced for certain
    """
    told = []
    for uri in code_of(applications):
        if uri.partition("://")[0] in _NOT_REMOTE:
            continue
        shown, now = uri.partition("?")[0], stamp_of(uri)
        key = ("archive/%s" % uri).encode()
        before = store.internal_kv_get(key, NAMESPACE)
        if now is None:
            continue
        if before is None:
            store.internal_kv_put(key, json.dumps(now).encode(), False, NAMESPACE)
            continue
        known = json.loads(before)
        if None not in (known["size"], now["size"]) and known["size"] != now["size"]:
            raise ConfigurationProblem(
                "the archive %s was replaced since it was first deployed here, and nodes that have it unpacked would "
                "go on with the old content; give each build a name of its own" % shown
            )
        if known != now:
            told.append(
                "the archive %s was written again since it was first deployed here: nodes that have it unpacked go "
                "on with the content of then; give each build a name of its own" % shown
            )
    return told


def stamp_of(uri: str) -> Optional[Dict[str, Any]]:
    """Give size and time (or tag) of an archive; None where its place does not tell."""
    try:
        return _of_web(uri) if uri.startswith(("http://", "https://")) else _of_storage(uri)
    except Exception:
        # Whether it can be read at all is for Ray to say, with the credentials of its nodes.
        return None


def _of_web(uri: str) -> Optional[Dict[str, Any]]:
    request = urllib.request.Request(uri, method="HEAD")  # noqa: S310
    with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
        size, told = response.headers.get("Content-Length"), response.headers
        mark = told.get("ETag") or told.get("Last-Modified")
    return {"size": int(size) if size else None, "mark": mark} if size or mark else None


def _of_storage(uri: str) -> Optional[Dict[str, Any]]:
    from ..data import files  # needs pyarrow, which not each cluster of Serve has

    filesystem, path = files.located(uri)
    info = filesystem.get_file_info(path)
    return None if info.size is None else {"size": info.size, "mark": str(info.mtime_ns)}
