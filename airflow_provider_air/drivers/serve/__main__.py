"""Entry point: ``python -m air_drivers.serve``."""

from __future__ import annotations

from .driver import main

if __name__ == "__main__":
    main()
