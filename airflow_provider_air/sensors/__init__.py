"""What waits for something on Ray that another task or another system does."""
