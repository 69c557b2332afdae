"""
What an exception says of itself, for an error that people read: what it was, and what caused it. Standard library only.

Ray wraps what was raised elsewhere, and drops an exception's causes when it moves it, but for the text of its traceback
or what :func:`stamp` has noted: so wrappers are opened, and causes are read from there. The whole story is in the
job's log.
"""

from __future__ import annotations

import contextlib
import re
import time
import traceback
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .problems import ConfigurationProblem, WorkFailed
from .texts import shortened, spelled, unstyled

# Of an exception's text: a character may take twelve bytes of a record.
MAX_ERROR_CHARACTERS = 300_000
MAX_CAUSE_CHARACTERS = 2000
# So many causes of causes, or wrappers around wrappers, are followed; so many members of a group are named.
MOST_CAUSES = 8
MOST_MEMBERS = 10
MOST_DEPTH = 3
STAMP = "_air_raised"

# How Python puts between two tracebacks what the first is to the second.
_BECAUSE = {
    "\nThe above exception was the direct cause of the following exception:\n": "caused by",
    "\nDuring handling of the above exception, another exception occurred:\n": "while handling",
}
_BETWEEN = re.compile("(%s)" % "|".join(map(re.escape, _BECAUSE)))
# Ray leaves out its own frames, so that a header may be all that stands before what was raised.
_FRAME = ('  File "', "Traceback (most", "ray::")
_RAISED = re.compile(r"^(?P<type>[A-Za-z_][\w.]*(?:\([\w.]+\))?)(?:: (?P<message>.*))?$", re.DOTALL)
# What other workers raise when one has gone: they wait for it, or lose their line to it. By class, and, but for those
# that are of nothing else, by words.
_LINE_ERRORS = {"ConnectionError", "LightGBMError", "OpError", "RuntimeError", "TimeoutError", "XGBoostError"}
_LOST_LINE = re.compile(r"Dist\w*Error|BroadcastCollectiveTimeoutError|HorovodInternalError")
_CONSEQUENCE = re.compile(
    r"\bnccl|\bgloo\b|\bc10d\b|\bcollective|\ball_?(?:reduce|gather)\b|\brendezvous\b|\bwatchdog\b"
    r"|monitoredBarrier|barrier (?:time|fail|abort)|store\b.*\btime(?:d |-)?out|timed out .*\b(?:clients|recv|send)\b"
    r"|\b(?:socket|poll|wait) (?:timeout|error|closed)|\bsocket (?:send|recv) error|client socket has failed"
    r"|connection (?:was )?(?:likely )?(?:closed|reset|refused)|\bbroken ?pipe|closed by (?:remote )?peer|pair closure"
    r"|coordination service|\brecvValue failed",
    re.IGNORECASE,
)
# By how much the clocks of a cluster's nodes may differ.
CLOCK_SECONDS = 5.0
_TRACEBACKS = ("traceback_str", "_traceback_str", "_original_stack_trace")
# What says nothing, as Ray Data hides a traceback; how pools of processes carry one, of which the text is all.
_NO_CAUSES = ("SystemException",)
_CARRIERS = ("_RemoteTraceback", "RemoteTraceback")
_DEATHS = (
    "RayActorError",
    "WorkerCrashedError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "WorkerHealthCheckFailedError",
    "WorkerHealthCheckTimeoutError",
)


class Raised(NamedTuple):
    """
    An exception in words.

    :param causes: each with what it is to the one before
    """

    type: str
    message: str
    causes: Tuple[str, ...] = ()

    def __str__(self) -> str:
        first = "%s: %s" % (self.type, self.message) if self.message else self.type
        return "\n".join([first, *self.causes])


def error_of(error: BaseException) -> Dict[str, str]:
    """Give what the ``end`` record of a job that failed says of an exception."""
    raised = raised_of(error)
    message = "\n".join([raised.message, *raised.causes])
    return {"type": raised.type, "message": spelled(shortened(message, MAX_ERROR_CHARACTERS))}


def text_of(error: Any) -> str:
    """Say what was raised and what caused it; also of the text of a traceback, which is what is left of some."""
    if isinstance(error, BaseException):
        return str(raised_of(error))
    found = _in_traceback(str(error))
    return str(_joined(found)) if found else unstyled(str(error)).strip()


def stamp(error: BaseException, like: Optional[BaseException] = None) -> None:
    """
    Note on an exception when it was raised, and what it says: its causes and its time do not travel otherwise.

    :param like: what it stands for, and says
    """
    with contextlib.suppress(Exception):  # some let nobody write on them
        setattr(error, STAMP, (time.time(), tuple(raised_of(like or error))))


def raised_of(error: BaseException, depth: int = 0) -> Raised:
    """
    Put an exception into words; whatever it is like, this raises nothing.

    :param depth: in how many groups it is
    """
    try:
        return _raised_of(error, depth)
    except Exception:
        return Raised(type(error).__name__, said_by(error))


def _raised_of(error: BaseException, depth: int = 0) -> Raised:
    layers = list(_wrapped(error))
    noted = next((each for each in (getattr(layer, STAMP, None) for layer in layers) if each), None)
    if noted is not None:
        return Raised(*noted[1])
    inner = layers[-1]
    failures = getattr(inner, "worker_failures", None)
    if failures:
        rank, first = first_of(failures)
        return Raised(type(inner).__name__, "worker %d: %s" % (rank, raised_of(first)))
    found = _in_traceback(_traceback_of(layers))
    if found and _says_less(inner):
        # A function that failed on a block of data, or an exception that could not be moved.
        return _joined([each for each in found if each[1] != "UserCodeException"] or found)
    return Raised(type(inner).__name__, _message(inner, depth), tuple(_causes(inner, found, depth)))


def _says_less(error: BaseException) -> bool:
    """Whether the traceback that it brings tells more than it does itself."""
    if is_a(error, "RayActorError"):
        return "creation task" in str(error)
    return type(error).__name__ in ("RayError", "RayTaskError", "UnserializableException", "UserCodeException")


def _traceback_of(layers: List[BaseException]) -> str:
    """Give the text of the innermost traceback; what Ray raises where a task failed has it as its own text."""
    texts = [getattr(layer, name, None) for layer in layers for name in _TRACEBACKS]
    texts += [str(layer) for layer in layers if is_a(layer, "RayTaskError") or is_a(layer, "RayActorError")]
    return next((text for text in reversed(texts) if isinstance(text, str)), "")


def _causes(error: BaseException, found: List[Tuple[str, str, str]], depth: int) -> List[str]:
    """
    Say what caused an exception, and what caused that.

    :param found: what a traceback says of them, where it has lost them
    """
    causes: List[str] = []
    seen = {id(error)}
    while not isinstance(error, (ConfigurationProblem, WorkFailed)) and len(causes) < MOST_CAUSES:
        how, cause = _cause_of(error)
        if cause is None or id(cause) in seen or type(cause).__name__ in _NO_CAUSES:
            break
        if type(cause).__name__ in _CARRIERS:
            return causes + _told(_in_traceback(said_by(cause)))
        seen.add(id(cause))
        layers = list(_wrapped(cause))
        error = layers[-1]
        causes.append("%s %s" % (how, _short(str(Raised(type(error).__name__, _message(error, depth))))))
    return causes or _told(found)


def _told(found: List[Tuple[str, str, str]]) -> List[str]:
    """Say of what a traceback has all but what was raised in the end."""
    return ["%s %s" % (how, _short(str(Raised(kind, message)))) for how, kind, message in found[1:]]


def _cause_of(error: BaseException) -> Tuple[str, Optional[BaseException]]:
    if error.__cause__ is not None:
        return "caused by", error.__cause__
    return "while handling", None if error.__suppress_context__ else error.__context__


def _message(error: BaseException, depth: int) -> str:
    text = said_by(error) or _place_of(error)
    if isinstance(error, SyntaxError) and error.text:
        text = "%s: %s" % (text, error.text.strip())
    notes = [unstyled(str(note)) for note in getattr(error, "__notes__", None) or ()]
    return "\n".join([text, *notes[:MOST_MEMBERS], *_members(error, depth)])


def said_by(error: BaseException) -> str:
    """Give an exception's own text; whatever it is like, this raises nothing."""
    try:
        return unstyled(str(error)).strip("\n")
    except Exception as problem:
        return "(its text cannot be had: %s)" % type(problem).__name__


def _place_of(error: BaseException) -> str:
    """Say where an exception was raised that says nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or isinstance(error, SystemExit):
        return ""
    last = frames[-1]
    place = "raised in %s (%s, line %d)" % (last.name, last.filename.rpartition("/")[2], last.lineno or 0)
    return "%s: %s" % (place, last.line) if last.line else place


def _members(error: BaseException, depth: int) -> Iterator[str]:
    members = members_of(error) if depth <= MOST_DEPTH else ()
    for member in members[:MOST_MEMBERS]:
        yield "- " + _short(str(raised_of(member, depth + 1))).replace("\n", "\n  ")
    if len(members) > MOST_MEMBERS:
        yield "- and %d more" % (len(members) - MOST_MEMBERS)


def _short(text: str) -> str:
    return shortened(text, MAX_CAUSE_CHARACTERS)


def _joined(found: List[Tuple[str, str, str]]) -> Raised:
    _, kind, message = found[0]
    return Raised(kind, message, tuple(_told(found)))


def _in_traceback(text: str) -> List[Tuple[str, str, str]]:
    """Read a traceback's text: what was raised, and each of its causes with what it is to the one before."""
    # Every other part is what stands between two of them.
    parts = _BETWEEN.split(unstyled(text))
    found: List[Tuple[str, str, str]] = []
    for index in range(len(parts) - 1, -1, -2):
        raised = _at_the_end_of(parts[index])
        is_carried = bool(found) and raised == found[-1][1:]
        if raised is not None and not is_carried and len(found) <= MOST_CAUSES:
            found.append((_BECAUSE.get("".join(parts[index + 1 : index + 2]), ""), *raised))
    return found


def _at_the_end_of(block: str) -> Optional[Tuple[str, str]]:
    lines = block.strip("\n").splitlines()
    frames = [index for index, line in enumerate(lines) if line.startswith(_FRAME)]
    if not frames:
        return None
    index = frames[-1] + 1
    while index < len(lines) and lines[index].startswith("    "):
        index += 1
    # A pool of processes puts the traceback that it carries between quotes.
    raised = _RAISED.match(re.sub(r'\n"""$', "", "\n".join(lines[index:]).strip()))
    if raised is None:
        return None
    # A nested one of Ray's: ``RayTaskError(ValueError)``.
    kind = raised["type"].rpartition("(")[2].rstrip(")").rpartition(".")[2]
    return kind, raised["message"] or ""


def first_of(failures: Mapping[int, BaseException]) -> Tuple[int, BaseException]:
    """
    Tell which of several workers has failed first: by what its error is, then by when it was raised, then by its rank.

    What is raised because another worker has gone is not first, unless all others come clearly later; one that died
    without a word is before that.

    :param failures: by rank; not empty
    """
    places = {rank: _place(error) for rank, error in failures.items()}
    times = {rank: _raised_at(error) for rank, error in failures.items()}
    own = min((times[rank] for rank in failures if places[rank] == 0), default=0.0)

    def order(rank: int) -> Tuple[int, float, int]:
        is_before = times[rank] + CLOCK_SECONDS < own < float("inf")
        return (0 if is_before else places[rank], times[rank], rank)

    rank = min(failures, key=order)
    return rank, failures[rank]


def by_worker(failures: Mapping[int, BaseException]) -> List[str]:
    """Say in a line for each error which workers had it, by rank."""
    ranks: Dict[str, List[int]] = {}
    for rank in sorted(failures):
        text = _short(str(raised_of(failures[rank])))
        ranks.setdefault(text, []).append(rank)
    return ["%s: %s" % (_workers(named), text) for text, named in ranks.items()]


def _workers(ranks: List[int]) -> str:
    if len(ranks) == 1:
        return "worker %d" % ranks[0]
    more = ", … (%d in all)" % len(ranks) if len(ranks) > MOST_MEMBERS else ""
    return "workers %s%s" % (", ".join(map(str, ranks[:MOST_MEMBERS])), more)


def _place(error: BaseException) -> int:
    inner = list(_wrapped(error))
    if any(is_a(each, name) for each in inner for name in _DEATHS):
        return 1
    raised = raised_of(error)
    if _LOST_LINE.fullmatch(raised.type):
        return 2
    kinds = {raised.type, *(kind.__name__ for kind in type(inner[-1]).__mro__)}
    is_consequence = kinds & _LINE_ERRORS and _CONSEQUENCE.search("%s: %s" % (raised.type, raised.message))
    return 2 if is_consequence else 0


def _raised_at(error: BaseException) -> float:
    noted = (getattr(each, STAMP, None) for each in _wrapped(error))
    return min((at for at, _ in filter(None, noted)), default=float("inf"))


def members_of(error: BaseException) -> Sequence[BaseException]:
    """Give what a group of exceptions holds; nothing where it is none. Of a backport's class, too."""
    members = getattr(error, "exceptions", None) if is_a(error, "BaseExceptionGroup") else None
    return members if isinstance(members, (tuple, list)) else ()


def is_a(error: BaseException, name: str) -> bool:
    """Tell whether an exception is of a class of this name, wherever that lives."""
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and what it wraps, from the outside in."""
    for _ in range(MOST_CAUSES):
        yield error
        inner = _inside(error)
        if inner is None or inner is error:
            return
        error = inner


def _inside(error: BaseException) -> Optional[BaseException]:
    # By names, not by types: Ray is not imported here, and its places for them have changed.
    inner: Any = None
    if is_a(error, "RayTaskError"):
        inner = getattr(error, "cause", None)
    elif is_a(error, "UserExceptionWithTraceback"):
        inner = getattr(error, "_base_exc", None)
    elif is_a(error, "WorkerHealthCheckFailedError"):
        inner = getattr(error, "health_check_failure", None)
    elif is_a(error, "ControllerError"):
        inner = getattr(error, "controller_failure", None)
    elif is_a(error, "UserCodeException"):
        inner = error.__cause__
    return inner if isinstance(inner, BaseException) else None
