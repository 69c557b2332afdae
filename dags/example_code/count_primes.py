"""Counts primes on a Ray cluster: a script as anybody may have it, plus two lines that report to Airflow."""

from __future__ import annotations

import argparse
from itertools import pairwise

import ray
from air_drivers import report

PARTS = 4


@ray.remote
def count(first: int, last: int) -> int:
    """Count the primes from ``first`` up to, but without, ``last``."""
    return sum(n > 1 and all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(first, last))


def main() -> None:
    """Split the numbers, count on the cluster, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--below", type=int, required=True)
    below = parser.parse_args().below
    edges = [below * part // PARTS for part in range(PARTS + 1)]
    waiting = [count.remote(first, last) for first, last in pairwise(edges)]
    found = 0
    for done, part in enumerate(waiting, start=1):
        found += ray.get(part)
        report.progress("counting", done=done, total=PARTS)
    print(f"{found} primes below {below}")
    report.result({"below": below, "primes": found})


main()
