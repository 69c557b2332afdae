"""What a DAG author writes: one operator per kind of work, all on one lifecycle."""
