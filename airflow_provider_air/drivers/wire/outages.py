"""
What is away is asked again for a while, and then by Airflow's retry; what no retry can mend is said at once.

Of a driver's errors, :class:`~air_drivers.wire.problems.ConfigurationProblem` is for what is known before the work
begins. Standard library only.
"""

from __future__ import annotations

import sys
import time
from typing import Callable, Optional, TypeVar

from .error_kinds import EXPIRED, MISTAKE, OUTAGE, kind_of
from .failures import said_by
from .problems import ConfigurationProblem, Unavailable

T = TypeVar("T")
# How long what is away is asked again before the attempt ends.
PATIENCE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0


def patiently(call: Callable[[], T], problem: str, seconds: Optional[float] = None) -> T:
    """
    Call again while what is asked is away; may be called at any time of a job.

    :param problem: what cannot be done then, as the beginning of a message
    :param seconds: for how long, at most; by default :data:`PATIENCE_SECONDS`
    :raises Unavailable: it is away still; a mistake, and what nobody knows, is raised as it is
    """
    end = time.monotonic() + (PATIENCE_SECONDS if seconds is None else seconds)
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except (ConfigurationProblem, Unavailable):
            raise
        except Exception as error:
            kind = kind_of(error)
            if kind not in (OUTAGE, EXPIRED):
                raise
            told = "%s: %s" % (problem, said(error))
            if kind == EXPIRED or time.monotonic() + pause > end:
                raise Unavailable(told, again=kind == OUTAGE) from error
        print("%s; asking again" % told, file=sys.stderr, flush=True)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def asked(call: Callable[[], T], problem: str, seconds: Optional[float] = None, away: Optional[str] = None) -> T:
    """
    Call as :func:`patiently` does, before the work begins: a mistake then is the author's.

    :param away: the beginning of the message where it is away, if that is another one
    :raises ConfigurationProblem: no later call can do better
    :raises Unavailable: it is away still; what nobody knows is raised as it is
    """
    try:
        return patiently(call, away or problem, seconds)
    except (ConfigurationProblem, Unavailable):
        raise
    except Exception as error:
        if kind_of(error) != MISTAKE:
            raise
        raise ConfigurationProblem("%s: %s" % (problem, said(error))) from error


def said(error: BaseException) -> str:
    """Give an error's own words, with its type where they are few."""
    text = said_by(error).strip()
    return text if " " in text else "%s: %s" % (type(error).__name__, text)
