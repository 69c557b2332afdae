"""What a person sees, by the state of the task and of the connection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import Open
from tests.ui.site import UI

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Locator, Page, Route

API = "**/air/api/task/**"


@pytest.mark.parametrize(
    ("name", "state", "panels"),
    [
        ("train", "Running", ["Where the time went", "Metrics", "Cluster", "Use of the cluster", "Attempts"]),
        ("trained", "Succeeded", ["Metrics", "Result", "Tracking", "Data", "Features", "Links"]),
        ("tune", "Running", ["Search", "rmse by trial", "Parameters and what they gave", "Trials"]),
        ("batch", "Running", ["Rows", "Ray tasks by function", "Data"]),
        ("serve", "Running", ["Applications", "Roll-out"]),
        ("submit", "Queued on Ray", ["Ray tasks by function", "Attempts"]),
        ("failed", "Failed", ["Metrics", "Attempts"]),
        ("empty", "Not started", []),
    ],
)
def test_a_task_shows_its_state_and_what_there_is(open_page: Open, name: str, state: str, panels: list[str]) -> None:
    frame = open_page(name).frame
    expect(frame.locator(".head-state")).to_contain_text(state)
    for panel in panels:
        expect(frame.get_by_role("heading", name=panel, exact=True)).to_be_visible()
    if name == "failed":
        expect(frame.locator(".error-text")).to_contain_text("CUDA out of memory. Tried to allocate")


def test_what_a_running_task_waits_for_is_said_with_how_long(open_page: Open) -> None:
    head = open_page("submit").frame.locator(".head")
    expect(head).to_contain_text("Waits for 2 GPUs: all 3 are used by")
    expect(head).to_contain_text("for 1 min 3")


def test_progress_is_told_in_words_and_to_a_screen_reader(open_page: Open) -> None:
    frame = open_page("train").frame
    expect(frame.get_by_role("progressbar", name="Progress")).to_have_attribute("aria-valuenow", "67")
    expect(frame.locator(".advance")).to_contain_text("8 of 12")
    expect(frame.locator(".advance")).to_contain_text("left")


def test_a_small_rate_keeps_its_digits_and_all_is_done_only_where_it_is(open_page: Open) -> None:
    batch = json.loads((UI / "fixtures" / "batch.json").read_text())
    batch["hashes"] = dict.fromkeys(batch["sections"], "h")
    batch["sections"]["batch"]["rows_per_second"] = 0.2
    batch["sections"]["state"] |= {"done": 996, "total": 1000}
    frame = open_page("batch", before=lambda page: page.route(API, lambda route: route.fulfill(json=batch))).frame
    expect(frame.locator(".figure").filter(has_text="Rate")).to_contain_text("0.2 /s")
    expect(frame.locator(".advance-words")).to_contain_text("99 %")
    expect(frame.get_by_role("progressbar", name="Progress")).to_have_attribute("aria-valuenow", "99")


def test_a_task_of_others_that_is_over_has_one_quiet_line_and_is_asked_for_once(open_page: Open) -> None:
    def clock(page: Page) -> None:
        page.clock.install()

    made = open_page("not_ours", before=clock)
    expect(made.frame.get_by_text("This task does not run on Ray")).to_be_visible()
    assert made.frame.locator(".panel").count() == 0
    made.pass_seconds(60)
    assert len(made.requests("/api/task/")) == 1


def test_a_task_that_is_not_known_for_ours_yet_is_asked_for_seldom_until_it_is(open_page: Open) -> None:
    not_yet, begun = (json.loads((UI / "fixtures" / f"{name}.json").read_text()) for name in ("not_ours", "train"))
    for view in (not_yet, begun):
        view["hashes"] = dict.fromkeys(view["sections"], "h")
    not_yet["sections"]["task"]["state"] = "queued"
    answers = [not_yet]

    def before(page: Page) -> None:
        page.clock.install()
        page.route(API, lambda route: route.fulfill(json=answers[-1]))

    made = open_page("train", before=before)
    expect(made.frame.get_by_text("This task does not run on Ray so far")).to_be_visible()
    made.pass_seconds(40)
    assert 2 <= len(made.requests("/api/task/")) <= 4
    answers.append(begun)
    made.pass_seconds(16)
    expect(made.frame.locator(".head-state")).to_contain_text("Running")
    asked = len(made.requests("/api/task/"))
    made.pass_seconds(10)
    assert len(made.requests("/api/task/")) >= asked + 2


def test_while_nothing_has_come_there_is_a_skeleton(open_page: Open) -> None:
    waiting: list[Route] = []
    made = open_page("train", before=lambda page: page.route(API, lambda route: waiting.append(route)))
    expect(made.frame.get_by_role("status", name="Loading")).to_be_visible()
    while not waiting:
        made.page.wait_for_timeout(20)
    waiting[0].continue_()
    expect(made.frame.locator(".head-state")).to_contain_text("Running")


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "You are signed out"), (403, "does not allow to see this"), (404, "knows no such task instance")],
)
def test_what_no_waiting_helps_is_said_and_not_asked_again(open_page: Open, status: int, words: str) -> None:
    def broken(page: Page) -> None:
        page.clock.install()
        page.route(API, lambda route: route.fulfill(status=status, json={"detail": "no"}))

    made = open_page("train", before=broken)
    expect(made.frame.locator(".notice")).to_contain_text(words)
    made.pass_seconds(60)
    assert len(made.requests("/api/task/")) == 1


def test_an_outage_is_survived_and_ends_by_itself(open_page: Open) -> None:
    broken = True

    def answer(route: Route) -> None:
        if broken:
            route.fulfill(status=503, body="<html>gateway</html>", content_type="text/html")
        else:
            route.continue_()

    def before(page: Page) -> None:
        page.clock.install()
        page.route(API, answer)

    made = open_page("train", before=before)
    expect(made.frame.locator(".notice")).to_contain_text("Airflow's API server has a problem")
    broken = False
    made.pass_seconds(5)
    expect(made.frame.locator(".head-state")).to_contain_text("Running")
    expect(made.frame.locator(".notice")).to_have_count(0)
    broken = True
    made.pass_seconds(25)
    expect(made.frame.locator(".notice")).to_contain_text("Last word")
    expect(made.frame.locator(".head-state")).to_contain_text("Running")


def test_errors_are_asked_again_ever_more_rarely(open_page: Open) -> None:
    def before(page: Page) -> None:
        page.clock.install()
        page.route(API, lambda route: route.abort())

    made = open_page("train", before=before)
    expect(made.frame.locator(".notice")).to_contain_text("Airflow does not answer")
    made.pass_seconds(60)
    assert 3 <= len(made.requests("/api/task/")) <= 7


def test_only_what_has_changed_is_asked_for_until_the_end(open_page: Open) -> None:
    view = json.loads((UI / "fixtures" / "train.json").read_text())
    view["hashes"] = dict.fromkeys(view["sections"], "h")
    answers = [
        view,
        {**view, "sections": {"state": {"phase": "collecting", "message": "nearly there"}}},
        {
            **view,
            "sections": {"task": {**view["sections"]["task"], "state": "success"}, "state": {"phase": "succeeded"}},
        },
    ]

    # Which one is given: the page's clock goes on by itself, too, so a busy machine sees each more than once.
    now = 0
    given: list[int] = []

    def answer(route: Route) -> None:
        given.append(now)
        route.fulfill(json=answers[now])

    def before(page: Page) -> None:
        page.clock.install()
        page.route(API, answer)

    made = open_page("train", before=before)
    expect(made.frame.locator(".head-state")).to_contain_text("Running")
    now = 1
    made.pass_seconds(2)
    expect(made.frame.locator(".head-state")).to_contain_text("Collecting the result")
    expect(made.frame.get_by_role("heading", name="Metrics")).to_be_visible()
    assert "known=metrics%3Ah" in made.requests("/api/task/")[1]
    now = 2
    made.pass_seconds(2)
    expect(made.frame.locator(".head-state")).to_contain_text("Succeeded")
    made.pass_seconds(30)
    # The last ones are for what is written down a little later.
    assert given.count(2) == 1 + 3


LISTEN_TO_PAUSES = """() => {
  const wait = window.setTimeout;
  window.pauses = [];
  window.setTimeout = (call, pause, ...more) => { window.pauses.push(pause); return wait(call, pause, ...more); };
}"""


def test_where_nothing_is_new_it_is_asked_more_seldom_until_something_is(open_page: Open) -> None:
    view = json.loads((UI / "fixtures" / "train.json").read_text())
    view["hashes"] = dict.fromkeys(view["sections"], "h")
    answers: list[dict[str, Any]] = [view]
    held: list[Route] = []

    def answer(route: Route) -> None:
        route.fulfill(json=answers.pop(0) if answers else {**view, "sections": {}})

    def before(page: Page) -> None:
        page.clock.install()
        page.route(API, lambda route: held.append(route))

    made = open_page("train", before=before)
    # Pauses are listened to before there is one.
    made.frame.evaluate(LISTEN_TO_PAUSES)
    made.wait_until(lambda: bool(held), "the first request")
    made.page.route(API, answer)
    answer(held.pop())
    expect(made.frame.locator(".head-state")).to_contain_text("Running")

    def pauses() -> list[int]:
        told = made.frame.evaluate("window.pauses")
        return [pause for pause in told if pause in (2000, 3000)]

    made.pass_until(lambda: 3000 in pauses())
    assert pauses().index(3000) == 10
    answers.append({**view, "sections": {"state": {"phase": "collecting"}}})
    made.pass_until(lambda: pauses()[-1] == 2000)
    expect(made.frame.locator(".head-state")).to_contain_text("Collecting the result")
    assert pauses()[-1] == 2000


def test_a_hidden_tab_asks_for_nothing_until_it_is_seen_again(open_page: Open) -> None:
    made = open_page("train", before=lambda page: page.clock.install())
    expect(made.frame.locator(".head-state")).to_contain_text("Running")

    def turn(state: str) -> None:
        made.frame.evaluate(
            """state => { Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
                document.dispatchEvent(new Event("visibilitychange")); }""",
            state,
        )

    turn("hidden")
    made.pass_seconds(12)
    asked = len(made.requests("/api/task/"))
    made.pass_seconds(60)
    assert len(made.requests("/api/task/")) == asked
    with made.page.expect_request("**/air/api/task/**"):
        turn("visible")


def test_a_try_that_was_is_asked_for_and_told_apart(open_page: Open) -> None:
    made = open_page("trained")
    made.frame.get_by_role("combobox", name="Try").select_option("1")
    expect(made.frame.get_by_text("This is try 1, as it was.")).to_be_visible()
    made.wait_asked("/api/task/", "try_number=1")


def test_the_attempt_before_is_drawn_beside(open_page: Open) -> None:
    frame = open_page("train").frame
    expect(frame.get_by_text("the attempt before, of try 1")).to_be_visible()
    expect(frame.get_by_role("img", name="; try 1: ")).to_have_count(2)


def test_an_attempt_that_a_later_try_took_over_says_so(open_page: Open) -> None:
    view = json.loads((UI / "fixtures" / "train.json").read_text())
    (adopted,) = view["sections"]["attempts"][1:]
    view["sections"]["attempts"] = [{**adopted, "number": 1, "try_number": 1, "taken_over_by": 2}]
    frame = open_page("train", before=lambda page: page.route(API, lambda route: route.fulfill(json=view))).frame
    rows = frame.get_by_role("group", name="Attempts").get_by_role("row")
    expect(rows).to_have_count(2)
    expect(rows.last.get_by_role("cell").nth(1)).to_have_text("1, then 2")


def test_other_metrics_are_asked_for_when_they_are_chosen(open_page: Open) -> None:
    made = open_page("train")
    made.frame.get_by_role("button", name="grad_norm").click()
    expect(made.frame.get_by_role("button", name="grad_norm")).to_have_attribute("aria-pressed", "true")
    made.wait_asked("/api/task/", "metric=grad_norm")


def test_the_page_of_a_run_that_has_ended_asks_until_all_is_read(open_page: Open) -> None:
    view = {**json.loads((UI / "fixtures" / "run.json").read_text()), "state": "success", "ended_at": 1764440000.0}
    view["tasks"] = [{**task, "state": "success"} for task in view["tasks"]]
    answers = [{**view, "cpu_hours": 5, "unread": 30}, {**view, "cpu_hours": 9, "unread": 10}, {**view, "unread": 0}]
    now, given = 0, []

    def answer(route: Route) -> None:
        given.append(now)
        route.fulfill(json=answers[now])

    def before(page: Page) -> None:
        page.clock.install()
        page.route("**/air/api/run/**", answer)

    made = open_page("run", before=before)
    expect(made.frame.locator(".head")).to_contain_text("at least 5")
    now = 1
    made.pass_seconds(10)
    expect(made.frame.locator(".head")).to_contain_text("at least 9")
    now = 2
    made.pass_seconds(10)
    expect(made.frame.locator(".head")).to_contain_text("11.42")
    expect(made.frame.locator("main")).not_to_contain_text("at least")
    expect(made.frame.locator("main")).not_to_contain_text("are not shown")
    made.pass_seconds(60)
    # The last ones are for what is written down a little later.
    assert given.count(2) == 1 + 3


def test_the_page_of_a_run_is_sent_again_only_where_something_is_new(open_page: Open) -> None:
    view = {**json.loads((UI / "fixtures" / "run.json").read_text()), "hash": "h1"}
    later = {**view, "hash": "h2", "tasks": view["tasks"][:2]}
    answers: list[dict[str, Any]] = [view, {"version": 1, "now": view["now"] + 5, "hash": "h1"}]

    def before(page: Page) -> None:
        page.clock.install()
        page.route("**/air/api/run/**", lambda route: route.fulfill(json=answers.pop(0) if answers else later))

    made = open_page("run", before=before)
    rows = made.frame.get_by_role("group", name="Ray tasks").get_by_role("row")
    expect(rows).to_have_count(7)
    made.frame.evaluate(LISTEN_TO_PAUSES)
    made.pass_until(lambda: not answers)
    expect(rows).to_have_count(7)
    made.pass_until(lambda: rows.count() == 3)
    expect(rows).to_have_count(3)
    assert ["known=h1" in url for url in made.requests("/api/run/")[:3]] == [False, True, True]
    pauses = made.frame.evaluate("window.pauses")
    assert 5000 in pauses
    assert 2000 not in pauses


def test_the_comparison_asks_until_all_is_read(open_page: Open) -> None:
    view = json.loads((UI / "fixtures" / "compare.json").read_text())
    answers = [{**view, "runs": view["runs"][:2], "unread": 6}]

    def before(page: Page) -> None:
        page.route("**/air/api/compare/**", lambda route: route.fulfill(json=answers.pop(0) if answers else view))

    frame = open_page("train", before=before).frame
    frame.get_by_role("button", name="Compare").click()
    expect(frame.get_by_role("group", name="Runs").get_by_role("row")).to_have_count(1 + len(view["runs"]))


def many_metrics() -> dict[str, Any]:
    """Give a view as the server makes it where twelve curves are asked for, or more."""
    view: dict[str, Any] = json.loads((UI / "fixtures" / "trained.json").read_text())
    names = [f"metric_{number}" for number in range(15)]
    curve = {"x": [0, 1], "y": [1.0, 0.5]}
    view["sections"]["metrics"] = {"names": names, "last": {}, "series": dict.fromkeys(names[:12], curve)}
    view["hashes"] = dict.fromkeys(view["sections"], "h")
    return view


def curves(page: Page | Frame) -> Locator:
    return page.get_by_role("region", name="Metrics").locator(".curve")


def test_no_more_curves_are_chosen_than_are_sent(open_page: Open) -> None:
    view = many_metrics()
    frame = open_page("trained", before=lambda page: page.route(API, lambda route: route.fulfill(json=view))).frame
    for number in range(6, 12):
        frame.get_by_role("button", name=f"metric_{number}", exact=True).click()
    expect(curves(frame)).to_have_count(12)
    expect(frame.get_by_role("button", name="metric_12")).to_be_disabled()
    expect(frame.get_by_role("status").filter(has_text="12 at once: take one away for another.")).to_be_visible()
    expect(frame.get_by_text("Reading…")).to_have_count(0)
    frame.get_by_role("button", name="metric_0", exact=True).click()
    expect(frame.get_by_role("button", name="metric_12")).to_be_enabled()


def test_a_chosen_metric_that_another_try_does_not_have_is_not_waited_for(open_page: Open) -> None:
    view = many_metrics()
    made = open_page("trained", before=lambda page: page.route(API, lambda route: route.fulfill(json=view)))
    made.frame.get_by_role("button", name="metric_7").click()
    expect(curves(made.frame)).to_have_count(7)
    metrics = view["sections"]["metrics"]
    metrics["names"].remove("metric_7")
    del metrics["series"]["metric_7"]
    made.frame.get_by_role("combobox", name="Try").select_option("1")
    expect(curves(made.frame)).to_have_count(6)
    expect(made.frame.get_by_text("Reading…")).to_have_count(0)


def test_the_run_and_the_clusters_have_pages(open_page: Open) -> None:
    run = open_page("run").frame
    expect(run.locator(".head")).to_contain_text("11.42 of shared clusters while this run used them")
    expect(run.get_by_text("1.68 of the cluster while this run used it")).to_be_visible()
    expect(run.get_by_role("img", name="Timeline.")).to_be_visible()
    expect(run.get_by_role("row")).to_have_count(7)
    clusters = open_page("clusters").frame
    expect(clusters.locator(".notice")).to_contain_text("needs 4 GPUs, the cluster has 3")
    expect(clusters.get_by_role("heading", name="gpu-pool")).to_be_visible()
    expect(clusters.get_by_role("group", name="What a clean-up would take")).to_contain_text("it expired 7 min ago")
    clusters.get_by_role("combobox", name="DAG").select_option("embeddings")
    expect(clusters.locator(".table-count")).to_have_text("20 jobs")
