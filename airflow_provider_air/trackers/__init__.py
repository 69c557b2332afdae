"""Where experiments are tracked: each tracker is one file here and one that reads its connection in ``hooks``."""
