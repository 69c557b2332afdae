"""Runs one Tune experiment, of functions or of Train runs."""
