"""Thins out stored curves for a screen, see :mod:`airflow_provider_air.downsampling`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from airflow_provider_air.downsampling import m4
from airflow_provider_air.pages.lenient import items, number, rounded


def curve(points: Any, most: int) -> dict[str, list[Any]]:
    """
    Thin out a stored series.

    :param points: ``[[x, value], …]``; what is no point is left out
    :return: ``{"x": […], "y": […]}``; a value that was no number is None: a gap
    """
    pairs = [(number(point[0]), point[1]) for point in items(points) if is_point(point)]
    told = [(x, number(value)) for x, value in pairs if x is not None]
    chosen = [told[place] for place in m4([value for _, value in told], most)]
    return {"x": [x for x, _ in chosen], "y": [rounded(value) for _, value in chosen]}


def is_point(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether it is a pair, as stored series have them."""
    return isinstance(value, (list, tuple)) and len(value) >= 2
