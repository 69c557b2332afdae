"""The embedded cluster: a supervised Ray head on the worker's host, with its own ports and token."""
