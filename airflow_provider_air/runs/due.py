"""Who of many is due: all that know one thing by its key do it once for all."""

from __future__ import annotations


class Due:
    """When each thing is due again, by its key. For one event loop."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def take(self, key: str, now: float, seconds: float) -> bool:
        """Whether it is due; whoever hears so does it, and it is due again in so many seconds."""
        if now < self._due.get(key, now):
            return False
        # What is due again is not needed here.
        self._due = {key: now + seconds, **{name: at for name, at in self._due.items() if at > now}}
        return True

    def put(self, key: str, at: float) -> None:
        """Say when it is due after all."""
        self._due[key] = at
