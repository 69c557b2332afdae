"""A request that a new version must answer well before it is trusted; the judgement is pure."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from typing import Any, Dict, List, Mapping, Optional, Tuple

# What Serve's proxy answers while no replica can: it has waited long enough, or has too many waiting already.
_WAITING = (408, 503, 504)
_ABSENT = object()


class SmokeTestFailed(Exception):
    """The version answered, but not as it should."""


def wakes(test: Mapping[str, Any], url: str, http: urllib.request.OpenerDirector) -> bool:
    """Send the request once, and tell whether something answered, well or not."""
    try:
        return _send(test, url, http)[0] not in _WAITING
    except SmokeTestFailed:
        return False


def run(test: Mapping[str, Any], url: str, samples: Optional[int], http: urllib.request.OpenerDirector) -> List[float]:
    """
    Send the request as often as the test says, and give how long each answer took, in seconds.

    :param test: ``method path body headers expected_status json_subset json_path regex max_latency_seconds
        samples warmup_requests timeout_seconds``
    :param url: where the version answers; the test's path is added
    :param samples: how many answers count, instead of what the test says
    :param http: what reaches Serve's proxies
    :raises SmokeTestFailed: an answer is wrong or late; the message shows it
    """
    times = []
    warmups = int(test.get("warmup_requests") or 0)
    for number in range(warmups + int(samples or test.get("samples") or 1)):
        start = time.monotonic()
        status, body = _send(test, url, http)
        seconds = time.monotonic() - start
        problem = judge(test, status, body, None if number < warmups else seconds)
        if problem:
            raise SmokeTestFailed(
                "smoke test %s %s: %s" % (test.get("method", "GET"), test.get("path") or "/", problem)
            )
        if number >= warmups:
            times.append(seconds)
    return times


def judge(test: Mapping[str, Any], status: int, body: bytes, seconds: Optional[float]) -> Optional[str]:
    """
    Say what is wrong with an answer, or None.

    :param seconds: how long it took; None leaves the time aside
    """
    shown = body[:500].decode("utf-8", "replace")
    allowed = test.get("expected_status", 200)
    allowed = allowed if isinstance(allowed, list) else [allowed]
    if status not in allowed:
        return "answered %s, expected %s; body: %s" % (status, " or ".join(map(str, allowed)), shown)
    if test.get("regex") is not None and not re.search(test["regex"], body.decode("utf-8", "replace")):
        return "the body does not match %r: %s" % (test["regex"], shown)
    problem = _judge_json(test, body, shown)
    if problem:
        return problem
    limit = test.get("max_latency_seconds")
    if limit is not None and seconds is not None and seconds > limit:
        return "answered in %.3f s, allowed are %g s" % (seconds, limit)
    return None


def _judge_json(test: Mapping[str, Any], body: bytes, shown: str) -> Optional[str]:
    if test.get("json_subset") is None and not test.get("json_path"):
        return None
    try:
        value = json.loads(body)
    except ValueError:
        return "the body is no JSON: %s" % shown
    if test.get("json_subset") is not None:
        problem = unlike(test["json_subset"], value)
        if problem:
            return "the body is not as expected: %s; body: %s" % (problem, shown)
    for path, wanted in (test.get("json_path") or {}).items():
        found = at(value, path)
        if found is _ABSENT or found != wanted:
            return "%s is %s, expected %r; body: %s" % (
                path,
                "absent" if found is _ABSENT else repr(found),
                wanted,
                shown,
            )
    return None


def unlike(wanted: Any, found: Any, where: str = "$") -> Optional[str]:
    """Say where a JSON value lacks what is wanted: objects may have more fields, lists must have the length."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key not in found:
                return "%s has no %r" % (where, key)
            problem = unlike(value, found[key], "%s.%s" % (where, key))
            if problem:
                return problem
        return None
    if isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found):
            return "%s has %d items, not %d" % (where, len(found), len(wanted))
        problems = (unlike(wanted[i], found[i], "%s[%d]" % (where, i)) for i in range(len(wanted)))
        return next((problem for problem in problems if problem), None)
    return None if wanted == found else "%s is %r, not %r" % (where, found, wanted)


def at(value: Any, path: str) -> Any:
    """Follow ``a.b[0].c`` (or ``$.a.b.0.c``) into a JSON value; a private marker where it leads nowhere."""
    for part in re.findall(r"[^.\[\]$]+", path):
        if isinstance(value, list) and re.match(r"-?\d+$", part) and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return _ABSENT
    return value


def _send(test: Mapping[str, Any], url: str, http: urllib.request.OpenerDirector) -> Tuple[int, bytes]:
    headers: Dict[str, str] = dict(test.get("headers") or {})
    body = test.get("body")
    data = None
    if body is not None:
        data = body.encode("utf-8") if isinstance(body, str) else json.dumps(body).encode("utf-8")
        if not isinstance(body, str):
            headers.setdefault("Content-Type", "application/json")
    target = url.rstrip("/") + (test.get("path") or "")
    method = test.get("method") or ("GET" if data is None else "POST")
    try:
        request = urllib.request.Request(target, data=data, headers=headers, method=method)  # noqa: S310
        with http.open(request, timeout=float(test.get("timeout_seconds") or 30.0)) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        raise SmokeTestFailed("smoke test %s %s: no answer: %s" % (method, test.get("path") or "/", error)) from error
