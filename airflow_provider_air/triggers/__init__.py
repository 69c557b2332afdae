"""What waits in the triggerer. No Ray, no blocking call."""
