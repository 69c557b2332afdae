"""The join by Feast as a script of one's own: ``python plain_join.py REPO SERVICE ENTITIES OUTPUT``."""

from __future__ import annotations

import sys

import feast
import pandas
import pyarrow.parquet

if __name__ == "__main__":
    repo, service, entities, output = sys.argv[1:]
    store = feast.FeatureStore(repo_path=repo)
    frame = pandas.read_parquet(entities)
    found = store.get_historical_features(entity_df=frame, features=store.get_feature_service(service))
    pyarrow.parquet.write_table(found.to_arrow(), output)
