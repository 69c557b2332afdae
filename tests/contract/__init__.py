"""One suite per contract, run over every implementation and its double."""
