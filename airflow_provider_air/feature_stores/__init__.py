"""Where features come from: point-in-time training data, and online values for serving."""
