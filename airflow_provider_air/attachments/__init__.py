"""What is attached to a run: trackers and feature stores, each in a folder, behind one contract."""
