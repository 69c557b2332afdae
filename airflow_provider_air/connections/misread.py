"""
Names outside ASCII, spelled so that they arrive where Airflow misreads them.

The triggerer's supervisor answers by an api-server in its own process (3.3.2). Between the two, httpx hands over the
path as text, where WSGI wants one character for each byte of its UTF-8; so each request about a DAG ``данные`` or a
connection ``café`` raises. Spelled byte by byte, the path is what WSGI wants. A real api-server reads true names only.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError


def is_misread(answer: Any) -> bool:
    """
    Tell whether Airflow could not read the path of a request.

    :param answer: the error that it raised, or the ErrorResponse that it gave
    """
    told = answer.error if isinstance(answer, AirflowRuntimeError) else answer
    detail = getattr(told, "detail", None) or {}
    return detail.get("exception_type") in (UnicodeEncodeError.__name__, UnicodeDecodeError.__name__)


def spelled(name: str) -> str:
    """Spell a name byte by byte."""
    return name.encode("utf-8").decode("latin-1")
