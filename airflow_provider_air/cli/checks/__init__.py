"""What ``airflow air doctor`` looks at; each check answers with findings and never raises."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, BROKEN = "ok", "note", "broken"


@dataclass(frozen=True)
class Finding:
    """
    What one check found.

    :param check: what was looked at
    :param verdict: :data:`OK`, :data:`NOTE` (works, but know this) or :data:`BROKEN`
    :param finding: what is so, one sentence
    :param what_to_do: empty where nothing is to be done
    """

    check: str
    verdict: str
    finding: str
    what_to_do: str = ""
