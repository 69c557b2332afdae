"""Tecton: features of now for what serves, and its materialization jobs."""
