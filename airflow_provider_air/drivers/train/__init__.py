"""Runs one Ray Train run."""
