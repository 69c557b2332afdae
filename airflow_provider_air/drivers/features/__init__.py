"""Feast on the cluster: rows joined with features, definitions applied, values brought online."""
