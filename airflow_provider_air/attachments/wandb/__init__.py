"""Weights & Biases: runs that the driver on the cluster writes."""
