"""Reports far more than anybody reads, and names and values that not everything takes."""

import sys
from pathlib import Path

import numpy
from air_drivers import report

COUNT = 30_000

with Path(sys.argv[1], "ledger").open("a") as ledger:
    ledger.write("metrics\n")
for step in range(COUNT):
    report.metric({"loss": float("nan") if step % 2 else numpy.float32(step), "ndcg@10": {"val": 0.5}}, step=step)
report.metric({"none": None, "text": "x", "big": 2**70, object(): 1})
report.progress(None, done=float("nan"), total=numpy.int64(3))
report.result({"loss": float("nan"), "count": numpy.int64(COUNT)})
