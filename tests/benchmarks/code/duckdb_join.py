"""The same join without Feast, as the floor: ``python duckdb_join.py ENTITIES OUTPUT FEATURES ...``."""

from __future__ import annotations

import sys

import duckdb

JOIN = """
COPY (
    SELECT {columns}
    FROM read_parquet('{entities}') e
    {joins}
) TO '{output}' (FORMAT parquet)
"""
ONE = """
    ASOF LEFT JOIN read_parquet('{features}') {name}
    ON e.carrier = {name}.carrier AND e.event_timestamp >= {name}.event_timestamp
"""

if __name__ == "__main__":
    entities, output, *features = sys.argv[1:]
    names = [f"f{number}" for number in range(len(features))]
    columns = ", ".join(["e.*", *(f"{name}.* EXCLUDE (carrier, event_timestamp)" for name in names)])
    joins = "".join(ONE.format(features=file, name=name) for file, name in zip(features, names, strict=True))
    duckdb.sql(JOIN.format(columns=columns, joins=joins, entities=entities, output=output))
