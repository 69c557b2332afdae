"""The same join without Feast, as the floor: ``python duckdb_join.py FEATURES ENTITIES OUTPUT``."""

from __future__ import annotations

import sys

import duckdb

JOIN = """
COPY (
    SELECT e.*, f.* EXCLUDE (carrier, event_timestamp)
    FROM read_parquet('{entities}') e ASOF LEFT JOIN read_parquet('{features}') f
    ON e.carrier = f.carrier AND e.event_timestamp >= f.event_timestamp
) TO '{output}' (FORMAT parquet)
"""

if __name__ == "__main__":
    features, entities, output = sys.argv[1:]
    duckdb.sql(JOIN.format(features=features, entities=entities, output=output))
