"""Amounts as Kubernetes writes them: ``500m``, ``4Gi``, ``2``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

# Source: k8s.io/apimachinery/pkg/api/resource/quantity.go, and the pattern of KubeRay's CRDs.
PATTERN = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?P<unit>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?"
)
# No more digits than any number here has.
WHOLE = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
FACTORS = {
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{unit: Decimal(1000) ** -power for power, unit in enumerate(("m", "u", "n"), 1)},
}


def amount_of(quantity: Any) -> Decimal | None:
    """
    Give a quantity as a number, bytes or cores; None where it is none, or negative.

    :param quantity: text as Kubernetes writes it, an int or a finite float
    """
    if isinstance(quantity, bool) or not isinstance(quantity, (int, float, str)):
        return None
    found = PATTERN.fullmatch(str(quantity))
    if found is None:
        return None
    unit = found["unit"] or ""
    try:
        factor = Decimal(f"1{unit}") if unit[:1] in ("e", "E") and unit[1:] not in ("", "i") else FACTORS.get(unit, 1)
        amount = Decimal(found["number"]) * factor
    except ArithmeticError:
        # An exponent that no number has.
        return None
    return None if amount < 0 else amount


def whole(said: Any) -> Any:
    """Give the whole number that a text says, such as a template or a connection's JSON wrote; anything else stays."""
    return int(said) if isinstance(said, str) and WHOLE.fullmatch(said) else said


def written(quantity: Any) -> str:
    """Write a quantity as a manifest has it."""
    return str(quantity)
