"""Runs one Python function."""
