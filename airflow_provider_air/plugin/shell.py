"""The HTML of each page: one element that says what it is about, and the bundle that draws it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

TITLE = "Ray"


def page(name: str, about: Mapping[str, str], base: str, version: str) -> str:
    """
    Give the HTML of a page.

    :param name: what the bundle draws: ``task``, ``run``, ``clusters``
    :param about: which one it is about, by the names of its ``data-`` attributes
    :param base: the path of the pages, with a final slash, such as ``/air/``
    :param version: of the bundle
    """
    data = "".join(f' data-{key}="{escape(value)}"' for key, value in about.items())
    root = escape(base)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title>
<link rel="stylesheet" href="{root}static/air.css?v={version}">
<script src="{root}static/air.js?v={version}" defer></script>
</head>
<body>
<div id="air" data-page="{escape(name)}" data-base="{root}"{data}></div>
<noscript>These pages need JavaScript.</noscript>
</body>
</html>
"""


def notice(said: str) -> str:
    """Give the HTML of a page that only says something."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>{TITLE}</title>
</head>
<body>
<p role="alert">{escape(said)}</p>
</body>
</html>
"""
