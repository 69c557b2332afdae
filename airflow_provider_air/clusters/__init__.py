"""WHERE Ray work runs: one backend per way to have a Ray cluster, all behind one contract."""
