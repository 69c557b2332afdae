r"""
Lines of a job's log as a terminal would leave them, from its bytes in pieces of any size.

A carriage return, a backspace or a cursor that moves up lets what comes next replace what was there: that is how
progress bars are drawn, a thousand states in one line. Of such a line there is one at its end, and until then its state
now and then. Exactness is by bytes: :attr:`LogLines.offset` never passes one whose text is neither shown nor replaced,
so that another process, which knows nothing else, goes on from there without a gap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# How often a bar is shown that goes on.
BAR_SECONDS = 15.0
# Longer lines are cut: nobody reads them, and who writes without an end must not fill our memory.
LINE_LIMIT_BYTES = 64 * 1024
# So many bars at once are followed, one below the other.
MOST_ROWS = 60
# Backspaces in longer lines are no bar's.
BACK_LIMIT_BYTES = 256

# Of the states of a bar between two others, the last one is enough: the rest are passed over at once.
_STATE = rb"[^\r\n\x08\x1b]+\r+"
# By ANSI's letters. Of a row and a column (H, f) the column counts: which rows a terminal had a log does not say. And a
# place that is kept (s, 7), and gone back to (u, 8).
_JUMP = rb"\x1b\[(?P<count>\d{0,4})(?:;(?P<column>\d{0,4}))?(?P<way>[ABDEFGHf])|\x1b(?P<place>\[[su]|[78])"
_MOVE = re.compile(rb"\n|\r+(?:" + _STATE + rb"(?=" + _STATE + rb"))*|\x08+|" + _JUMP)
_LONGEST_MOVE = 12
_NO_PLAIN_LINE = re.compile(rb"[\r\x08]|" + _JUMP)
# What draws nothing and erases nothing: colours, modes, titles, links; also one that is not complete yet.
_IDLE = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-IL-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-OQ-Z^-~]"
    rb"|\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[ -/]*)$"
)
# Colours and links stay in a log; other sequences have been followed, or mean nothing in one. Of what is left, control
# characters are spelled out.
_UNREADABLE = re.compile(
    r"(?P<style>\x1b\[[0-9;:]*m|\x1b\]8;[^\x07\x1b]*(?:\x07|\x1b\\))"
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]"
    r"|(?P<control>[\x00-\x08\x0a-\x1f\x7f-\x9f])"
)
_CELL = re.compile(r"\x1b\[[0-9;:]*m|.", re.DOTALL)


@dataclass
class _Row:
    """
    A line that may still change.

    :param text: as it was last drawn
    :param start: from which byte on its text comes
    :param is_new: its text was not shown yet
    :param shown: its text when it was last shown
    """

    start: int
    text: bytes = b""
    is_new: bool = True
    shown: str = ""


class LogLines:
    """
    Turns a log's bytes into lines.

    :param offset: where in the log the first byte lies
    """

    def __init__(self, offset: int = 0) -> None:
        self.read_to = offset
        """Where the next byte lies that this has not seen."""
        self._raw = b""  # of the current row, behind the last move of the cursor
        self._raw_shown = 0  # how much of that was shown, where the log had come to a halt
        self._rows = [_Row(offset)]
        self._at = 0
        self._keep = b""  # what of the current row stands before the cursor
        self._place: tuple[_Row, _Row] | None = None  # the row, and what stood before the cursor, where that was kept
        self._left_out: int | None = None  # how much of a line that is too long
        self._is_bar = False
        self._since: float | None = None  # when the bar was last shown, or first seen

    @property
    def offset(self) -> int:
        """Where another one has to begin to show what this one has not."""
        starts = [row.start for index, row in enumerate(self._rows) if row.is_new and index != self._at]
        starts += [self._place[1].start] if self._place and self._place[1].is_new else []
        return min([self._current_offset(), *starts])

    def _current_offset(self) -> int:
        row, raw_start = self._rows[self._at], self.read_to - len(self._raw)
        if self._left_out is not None:
            return self.read_to
        if self._raw_shown:
            return raw_start + self._raw_shown
        if row.is_new and (self._keep or not _draws(self._raw)):
            return row.start
        return raw_start

    def feed(self, data: bytes, limit: int | None = None) -> list[str]:
        """
        Take the next bytes, and give the lines that they complete.

        :param limit: so many lines and some are given at most; what follows them is not taken, see :attr:`read_to`
        """
        found: list[str] = []
        start, search = 0, max(0, len(self._raw) - _LONGEST_MOVE)
        first, data = self.read_to - len(self._raw), self._raw + data
        if self._is_fresh and data.find(b"\n", search) >= 0 and not _NO_PLAIN_LINE.search(data, search):
            # Most logs know nothing else, and this is many times as fast.
            start = self._feed_plain(data, first, found, limit)
        for move in _MOVE.finditer(data, max(start, search)):
            self._write(data[start : move.start()], first + start, found)
            start = move.end()
            self._move(move, first + start, found)
            if limit is not None and len(found) >= limit:
                self._raw, self.read_to = b"", first + start
                return found
        self._raw, self.read_to = data[start:], first + len(data)
        if self._left_out is not None or len(self._keep) + len(self._raw) > LINE_LIMIT_BYTES:
            self._write(self._raw, first + start, found)
            self._raw = b""
        return found

    @property
    def _is_fresh(self) -> bool:
        """Whether nothing was drawn where the next bytes come."""
        return self._left_out is None and len(self._rows) == 1 and not (self._rows[0].text or self._raw_shown)

    def _feed_plain(self, data: bytes, first: int, found: list[str], limit: int | None) -> int:
        """Take lines that nothing is drawn over, but not what follows them; tell where that begins."""
        lines, start = data.split(b"\n")[:-1], 0
        for line in lines if limit is None else lines[: limit - 1]:
            if len(line) > LINE_LIMIT_BYTES:
                break
            found.append(_readable(line))
            start += len(line) + 1
        self._begin(first + start)
        return start

    def state(self, now: float, *, is_still: bool) -> list[str]:
        """
        Give what bars that go on look like, where that is due.

        :param now: seconds
        :param is_still: the last read gave nothing: what was drawn last is drawn to its end
        """
        if not self._is_bar or self._left_out is not None:
            return []
        if self._since is None:
            self._since = now
        if now - self._since < BAR_SECONDS:
            return []
        if is_still and len(self._raw) > self._raw_shown and _draws(self._raw):
            row = self._rows[self._at]
            row.text, row.is_new = self._keep + self._raw, True
            self._raw_shown = len(self._raw)
        found = self._changed([row for row in self._rows if row.text])
        if found:
            self._since = now
        return found

    def rest(self) -> list[str]:
        """Give what is left when the log has come to its end."""
        found: list[str] = []
        self._write(self._raw, self.read_to - len(self._raw), found)
        self._tell_left_out(found)
        found += self._changed([row for row in self._rows if _readable(row.text).strip()])
        self._raw = b""
        self._begin(self.read_to)
        return found

    def _write(self, segment: bytes, start: int, found: list[str]) -> None:
        row, were_shown, self._raw_shown = self._rows[self._at], self._raw_shown, 0
        if self._left_out is not None:
            self._left_out += len(segment)
        elif were_shown and len(segment) == were_shown:
            self._keep = row.text
        elif _draws(segment):
            text = self._keep + segment
            if not (self._keep and row.is_new):
                row.start = start + were_shown
            row.text, row.is_new = text, True
            if len(text) > LINE_LIMIT_BYTES:
                row.text, row.is_new = b"", False
                head = _whole_characters(text[:LINE_LIMIT_BYTES])
                found.append(f"{_readable(head)} […]")
                self._left_out = len(text) - len(head)
            self._keep = row.text

    def _move(self, move: re.Match[bytes], end: int, found: list[str]) -> None:
        what, way = move[0][:1], move["way"]
        if what == b"\n":
            self._feed_line(end, found)
            return
        if move["place"] in (b"[s", b"7"):
            row = self._rows[self._at]
            self._place = row, _Row(row.start, self._keep, is_new=row.is_new and bool(self._keep))
            return
        count = int(move["count"] or 1) if way else len(move[0])
        self._left_out = None
        if move["place"]:
            self._go_back()
        elif what == b"\x08" or way == b"D":
            self._keep = _without_last(self._keep, count)
        elif what == b"\r" or way in (b"G", b"H", b"f"):
            column = 1 if what == b"\r" else count if way == b"G" else int(move["column"] or 1)
            self._keep = self._keep if column > 1 else b""
        else:
            self._keep = b""
            self._go(-count if way in (b"A", b"F") else count)
        self._is_bar = True

    def _go_back(self) -> None:
        """Go to the place that was kept, or to the first column, where its row has become a line."""
        self._keep = b""
        if self._place is not None:
            row, kept = self._place
            self._at = next(index for index, each in enumerate(self._rows) if each is row)
            self._keep, row.start = kept.text, kept.start if kept.is_new else row.start

    def _go(self, rows: int) -> None:
        """Go up, also to rows that were shown as lines already, or down, but not below the last one."""
        above = min(-(self._at + rows), MOST_ROWS - len(self._rows))
        if above > 0:
            self._rows[:0] = [_Row(self._rows[0].start, is_new=False) for _ in range(above)]
            self._at += above
        self._at = max(0, min(self._at + rows, len(self._rows) - 1))

    def _feed_line(self, end: int, found: list[str]) -> None:
        self._tell_left_out(found)
        self._keep = b""
        if self._at < len(self._rows) - 1:
            self._at += 1
            return
        # Of several bars, those that were wiped out leave no empty lines.
        found += self._changed([row for row in self._rows if len(self._rows) == 1 or _readable(row.text).strip()])
        self._begin(end)

    def _tell_left_out(self, found: list[str]) -> None:
        if self._left_out is not None:
            found.append(f"[{self._left_out} more bytes of that line are left out]")
            self._left_out = None

    def _begin(self, start: int) -> None:
        self._rows, self._at, self._keep, self._place = [_Row(start)], 0, b"", None
        self._is_bar, self._since = False, None

    def _changed(self, rows: list[_Row]) -> list[str]:
        """Give the rows that look otherwise than when they were last shown; they are shown now."""
        found = []
        for row in rows:
            text = _readable(row.text)
            if row.is_new and not (text and text == row.shown):
                found.append(text)
                row.shown = text
            row.is_new = False
            if self._place and self._place[0] is row:
                self._place[1].is_new = False
        return found


def lines_of(text: str) -> list[str]:
    """Give the lines of a text that is complete."""
    log = LogLines()
    return [*log.feed(text.encode("utf-8", "backslashreplace")), *log.rest()]


def _draws(raw: bytes) -> bool:
    """Whether it changes what a line looks like."""
    return bool(_IDLE.sub(b"", raw)) if b"\x1b" in raw else bool(raw)


def _readable(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff")
    return text if text.isprintable() else _UNREADABLE.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    return found["style"] or (f"\\x{ord(found['control']):02x}" if found["control"] else "")


def _whole_characters(raw: bytes) -> bytes:
    """Leave out a character that is cut."""
    for end in range(len(raw), max(0, len(raw) - 4), -1):
        if raw[end - 1] & 0xC0 != 0x80:
            return raw[: end - 1] if raw[end - 1] >= 0xC0 else raw
    return raw


def _without_last(raw: bytes, count: int) -> bytes:
    if b"\x1b" not in raw and raw[-count:].isascii():
        return raw[:-count]
    if len(raw) > BACK_LIMIT_BYTES:
        return raw
    cells = _CELL.findall(raw.decode("utf-8", "replace"))
    while count and cells:
        count -= not cells.pop().startswith("\x1b")
    return "".join(cells).encode()
