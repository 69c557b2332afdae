"""Doubles that speak real HTTP on loopback; tests/contract proves them against the real thing."""
