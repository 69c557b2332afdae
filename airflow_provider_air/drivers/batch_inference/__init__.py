"""Predicts for every row of a data set, and writes the output once."""
