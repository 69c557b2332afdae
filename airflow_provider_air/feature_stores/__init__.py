"""Where do features come from: training data in, online features out."""
