"""Trains one RLlib algorithm."""
