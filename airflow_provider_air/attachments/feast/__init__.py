"""Feast: data joined with features as of its own time, and features of now for what serves."""
