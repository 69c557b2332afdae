"""
Changes Ray Serve from inside the cluster: ``python -m air_drivers.serve``.

Serve's PUT is the whole desired state and has no compare-and-set, so reading, merging and writing happen here,
under a lock in the cluster's own key-value store; ``merge`` and ``smoke`` are pure, the rest speaks to the cluster.
"""
