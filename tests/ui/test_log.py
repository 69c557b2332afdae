"""The log on the tab: read on from where it was, none of its lines twice, and only its end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect

from tests.ui.conftest import Open
from tests.ui.site import UI, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

LOGS = "**/api/v2/**/logs/**"


def entry(number: int) -> dict[str, str]:
    return {
        "timestamp": f"2025-11-29T18:{number // 60:02}:{number % 60:02}Z",
        "level": "info",
        "event": f"line {number}",
    }


class Log:
    """
    Airflow's route of a task's log: it goes on from its token, and gives a new one while the try runs.

    :param entries: of the log, in the order in which Airflow has put them by now
    """

    def __init__(self, entries: Sequence[Any]) -> None:
        self.entries = list(entries)
        self.runs = True

    def answer(self, route: Route) -> None:
        token = parse_qs(urlsplit(route.request.url).query).get("token", ["0"])[0]
        following = str(len(self.entries)) if self.runs else None
        route.fulfill(json={"content": self.entries[int(token) :], "continuation_token": following})


def opened(open_page: Open, answer: Callable[[Route], None]) -> Visit:
    def before(page: Page) -> None:
        page.clock.install()
        page.route(LOGS, answer)

    made = open_page("train", before=before)
    made.frame.get_by_role("button", name=re.compile("^Log")).click()
    return made


def lines(*numbers: int) -> list[str]:
    return [f"line {number}" for number in numbers]


def test_only_new_lines_are_asked_for(open_page: Open) -> None:
    log = Log([entry(0), entry(1)])
    made = opened(open_page, log.answer)
    expect(made.frame.locator(".log-line")).to_have_count(2)
    log.entries += [entry(2)]
    made.pass_seconds(12)
    log.entries += [entry(3), "without a time"]
    made.pass_seconds(12)
    expect(made.frame.locator(".log-text")).to_have_text([*lines(0, 1, 2, 3), "without a time"])
    first, *others = made.requests("/logs/")
    assert "token=" not in first
    assert others
    assert all("token=" in url for url in others)


def test_a_line_that_comes_late_shows_none_twice(open_page: Open) -> None:
    log = Log([entry(0), entry(2), entry(3)])
    made = opened(open_page, log.answer)
    expect(made.frame.locator(".log-line")).to_have_count(3)
    log.entries = [entry(number) for number in range(6)]
    made.pass_seconds(12)
    expect(made.frame.locator(".log-text")).to_have_text(lines(0, 2, 3, 4, 5))


def test_where_airflow_gives_no_token_the_last_lines_are_not_shown_again(open_page: Open) -> None:
    log = Log([entry(0), entry(1)])
    made = opened(open_page, log.answer)
    expect(made.frame.locator(".log-line")).to_have_count(2)
    log.runs = False
    log.entries += [entry(2)]
    made.pass_seconds(12)
    log.entries += [entry(3)]
    made.pass_seconds(12)
    expect(made.frame.locator(".log-text")).to_have_text(lines(0, 1, 2, 3))


def test_where_airflow_refuses_the_token_the_log_is_read_anew(open_page: Open) -> None:
    log = Log([entry(0), entry(1)])
    refused: list[str] = []
    refuses = False

    def answer(route: Route) -> None:
        if refuses and "token=2" in route.request.url:
            refused.append(route.request.url)
            route.fulfill(status=400, json={"detail": "Bad Signature. Please use only the tokens provided by the API."})
        else:
            log.answer(route)

    made = opened(open_page, answer)
    expect(made.frame.locator(".log-line")).to_have_count(2)
    log.entries += [entry(2)]
    refuses = True
    made.pass_seconds(12)
    log.entries += [entry(3)]
    made.pass_seconds(12)
    expect(made.frame.locator(".log-text")).to_have_text(lines(0, 1, 2, 3))
    assert len(refused) == 1


def test_a_refusal_for_another_reason_is_said(open_page: Open) -> None:
    made = opened(open_page, lambda route: route.fulfill(status=400, json={"detail": "no such handler"}))
    expect(made.frame.get_by_text("no such handler")).to_be_visible()
    made.pass_seconds(12)
    assert len(made.requests("/logs/")) == 1


def test_with_airflows_state_the_log_is_read_anew(open_page: Open) -> None:
    log = Log([entry(0), entry(2)])
    made = opened(open_page, log.answer)
    expect(made.frame.locator(".log-line")).to_have_count(2)
    view = json.loads((UI / "fixtures" / "train.json").read_text())
    view["sections"]["task"]["state"] = "success"
    view["hashes"] = dict.fromkeys(view["sections"], "h")
    log.entries, log.runs = [entry(number) for number in range(4)], False
    made.page.route("**/air/api/task/**", lambda route: route.fulfill(json=view))
    made.pass_seconds(12)
    expect(made.frame.locator(".log-text")).to_have_text(lines(0, 1, 2, 3))


def test_only_the_end_of_a_long_log_is_kept(open_page: Open) -> None:
    log = Log([entry(number) for number in range(2_000)])
    made = opened(open_page, log.answer)
    box = made.frame.get_by_role("log")
    expect(box).to_contain_text("500 lines before these are in the tab Logs.")
    log.entries += [entry(number) for number in range(2_000, 2_010)]
    made.pass_seconds(12)
    expect(box).to_contain_text("510 lines before these are in the tab Logs.")
    expect(made.frame.locator(".log-text")).to_have_text(lines(*range(510, 2_010)))


def test_a_log_that_is_too_large_is_said_to_be_so_and_not_asked_for_again(open_page: Open) -> None:
    body = json.dumps({"content": ["x" * 1_000_000] * 17, "continuation_token": "t"})
    made = opened(open_page, lambda route: route.fulfill(body=body, content_type="application/json"))
    expect(made.frame.get_by_text("This is too large to be read here.")).to_be_visible()
    expect(made.frame.get_by_text("The tab Logs has the whole log, however large it is.")).to_be_visible()
    made.pass_seconds(40)
    assert len(made.requests("/logs/")) == 1
