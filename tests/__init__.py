"""Tests of the provider; a package so that its doubles can be imported and run with ``python -m``."""
