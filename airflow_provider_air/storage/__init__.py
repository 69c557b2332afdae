"""Where checkpoints, results, staged code and data sets outlive a cluster."""
