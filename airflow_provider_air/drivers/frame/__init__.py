"""What is around every driver's work: payload and records, the author's code, results, room on the cluster."""
