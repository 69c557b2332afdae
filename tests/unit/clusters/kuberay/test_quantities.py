from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.quantities import amount_of


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        (2, 2),
        ("2", 2),
        (0.5, Decimal("0.5")),
        ("500m", Decimal("0.5")),
        ("4Gi", 4 * 2**30),
        ("1.5Gi", Decimal("1.5") * 2**30),
        ("4G", 4 * 10**9),
        ("1E", 10**18),
        ("1Ei", 2**60),
        ("1e3", 1000),
        ("1E3", 1000),
        ("12e-1", Decimal("1.2")),
        (".5", Decimal("0.5")),
        ("100k", 100_000),
        ("0", 0),
        (1e-7, Decimal("1e-7")),
    ],
)
def test_an_amount_is_read_as_kubernetes_does(quantity: Any, amount: Any) -> None:
    assert amount_of(quantity) == amount


@pytest.mark.parametrize(
    "quantity",
    [
        "",
        " ",
        "4 Gi",
        "4gb",
        "4GB",
        "4gi",
        "4Ki2",
        "-1",
        "m",
        "1_000",
        "1,5",
        "1e999999999999999999",
        "20e999999",
        "1K",
        "٣",
        True,
        None,
        float("nan"),
        float("inf"),
        [1],
    ],
)
def test_anything_else_is_none(quantity: Any) -> None:
    assert amount_of(quantity) is None
