"""A Ray cluster that somebody else runs, reached by an address."""
