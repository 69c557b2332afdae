"""
Ray's HTTP surface (Jobs, state, logs, packages, Serve), spoken without ``ray`` installed.

``requests`` builds calls and reads answers as pure functions; ``client`` sends them, once for threads
and once for asyncio. Source of all remote facts: Ray 2.60, dashboard modules ``job`` and ``state``.
"""
