"""What a person does with the pages: sort, search, compare, follow links, act; by mouse and keyboard."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import Open
from tests.ui.site import UI

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


def test_trials_are_sorted_by_keyboard_and_filtered(open_page: Open) -> None:
    frame = open_page("tune").frame
    table = frame.get_by_role("group", name="Trials").get_by_role("table")
    column = table.get_by_role("columnheader", name="rmse")
    expect(column).to_have_attribute("aria-sort", "ascending")
    expect(table.get_by_role("row").nth(1)).to_contain_text("best")
    column.get_by_role("button").focus()
    frame.page.keyboard.press("Enter")
    expect(column).to_have_attribute("aria-sort", "descending")
    values = [float(text) for text in table.locator("tbody tr td:nth-child(3)").all_inner_texts()[:8] if text.strip()]
    assert len(values) == 8
    assert values == sorted(values, reverse=True)
    frame.get_by_role("combobox", name="Status").select_option("error")
    expect(frame.locator(".table-count")).to_have_text("16 trials")
    frame.get_by_label("Filter trials").fill("objective_00017")
    expect(frame.locator(".table-count")).to_have_text("1 of 16 trials")


def test_of_a_thousand_trials_only_those_in_sight_are_drawn(open_page: Open) -> None:
    frame = open_page("tune").frame
    region = frame.get_by_role("group", name="Trials")
    expect(region.locator("table")).to_have_attribute("aria-rowcount", "1001")
    assert region.locator("tbody tr").count() < 60
    region.evaluate("box => { box.scrollTop = box.scrollHeight; }")
    # Trials without a value are sorted last.
    expect(region.locator("tbody tr:not(.gap)").last).to_contain_text("error")


def test_a_trial_that_is_picked_has_its_curve_in_front(open_page: Open) -> None:
    frame = open_page("tune").frame
    frame.get_by_label("Filter trials").fill("objective_00025")
    frame.get_by_label("Show the curve of objective_00025").check()
    expect(frame.get_by_role("img", name=re.compile("rmse by trial.*objective_00025"))).to_be_visible()


def test_a_range_on_an_axis_keeps_those_trials_only(open_page: Open) -> None:
    made = open_page("tune")
    chart = made.frame.get_by_role("img", name=re.compile("Parallel coordinates"))
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    # The first axis is at the left, the last at the right.
    x = box["x"] + box["width"] - 60
    made.page.mouse.move(x, box["y"] + 220)
    made.page.mouse.down()
    made.page.mouse.move(x, box["y"] + 250, steps=4)
    made.page.mouse.move(x, box["y"] + 275, steps=4)
    made.page.mouse.up()
    expect(made.frame.get_by_text("Only trials within the ranges")).to_be_visible()
    count = int(made.frame.locator(".table-count").inner_text().split()[0].replace(",", ""))
    assert 0 < count < 900


def test_the_log_is_read_searched_and_free_of_escapes(open_page: Open) -> None:
    made = open_page("train")
    frame = made.frame
    frame.get_by_role("button", name=re.compile("^Log")).click()
    box = frame.get_by_role("log")
    expect(box).to_contain_text("CUDA out of memory </script><b>x</b> \\u202eevil")
    assert "\x1b" not in box.inner_text()
    assert "map_index=-1" in made.requests("/logs/")[0]
    expect(frame.locator(".log-line.error")).to_have_count(1)
    assert frame.locator(".log-line.warning").count() >= 4
    frame.get_by_label("Search the log").fill("out of memory")
    expect(frame.locator(".log-line")).to_have_count(1)
    expect(frame.locator("mark")).to_have_text("out of memory")


def test_earlier_runs_are_laid_over_one_another(open_page: Open) -> None:
    made = open_page("train")
    made.frame.get_by_role("button", name=re.compile("^Compare")).click()
    expect(made.frame.get_by_role("img", name=re.compile(r"loss by run\. Line chart"))).to_be_visible()
    expect(made.frame.get_by_role("img", name=re.compile(r"loss of 3 runs"))).to_be_visible()
    made.frame.get_by_label("Show the curve of scheduled__2025-11-27").uncheck()
    expect(made.frame.get_by_role("img", name=re.compile(r"loss of 2 runs"))).to_be_visible()
    made.wait_asked("/api/compare/", "run=", 2)


@pytest.mark.parametrize(("state", "least", "most"), [("running", 3, 5), ("success", 1, 1)])
def test_a_comparison_follows_the_run_that_is_looked_at_while_it_lives(
    open_page: Open, state: str, least: int, most: int
) -> None:
    view = json.loads((UI / "fixtures" / "compare.json").read_text())
    view["runs"][1] |= {"run_id": "run", "state": state}

    def before(page: Page) -> None:
        page.clock.install()
        page.route("**/air/api/compare/**", lambda route: route.fulfill(json=view))

    made = open_page("train", before=before)
    made.frame.get_by_role("button", name=re.compile("^Compare")).click()
    expect(made.frame.get_by_text("this run", exact=True)).to_be_visible()
    made.pass_seconds(35)
    asked = made.requests("/api/compare/")
    assert all("this=run" in url for url in asked)
    assert least <= len(asked) <= most


def test_a_comparison_goes_on_where_the_task_is_cleared(open_page: Open) -> None:
    compared = json.loads((UI / "fixtures" / "compare.json").read_text())
    compared["runs"][1] |= {"run_id": "run", "state": "success"}
    view = json.loads((UI / "fixtures" / "trained.json").read_text())
    view["hashes"] = dict.fromkeys(view["sections"], "h")

    def before(page: Page) -> None:
        page.clock.install()
        page.route("**/air/api/compare/**", lambda route: route.fulfill(json=compared))
        page.route("**/air/api/task/**", lambda route: route.fulfill(json=view))

    made = open_page("trained", before=before)
    made.frame.get_by_role("button", name=re.compile("^Compare")).click()
    expect(made.frame.get_by_text("this run", exact=True)).to_be_visible()
    made.pass_seconds(35)
    ended = len(made.requests("/api/compare/"))
    view["sections"]["task"]["state"] = compared["runs"][1]["state"] = "running"
    made.frame.get_by_role("button", name="Clear", exact=True).click()
    made.frame.get_by_role("button", name="Clear it").click()
    expect(made.frame.locator(".said")).to_contain_text("Cleared")
    made.pass_seconds(35)
    assert ended + 3 <= len(made.requests("/api/compare/")) <= ended + 5


def test_zoom_scroll_and_choices_stay_when_news_come(open_page: Open) -> None:
    made = open_page("train", before=lambda page: page.clock.install())
    frame = made.frame
    expect(frame.get_by_role("heading", name="Metrics")).to_be_visible()
    made.pass_seconds(1)
    frame.get_by_label("Log scale").check()
    frame.locator("details.as-table summary", has_text="As a table").click()
    chart = frame.get_by_role("img", name=re.compile(r"^loss\. Line chart"))
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    made.page.mouse.move(box["x"] + 100, box["y"] + 90)
    made.page.mouse.down()
    made.page.mouse.move(box["x"] + 220, box["y"] + 100, steps=5)
    made.page.mouse.up()
    expect(frame.get_by_role("button", name="Whole range").first).to_be_visible()
    frame.evaluate("window.scrollTo(0, 320)")
    before = len(made.requests("/api/task/"))
    made.pass_seconds(6)
    assert len(made.requests("/api/task/")) >= before + 2
    assert frame.evaluate("window.scrollY") == 320
    expect(frame.get_by_role("button", name="Whole range").first).to_be_visible()
    expect(frame.get_by_label("Log scale")).to_be_checked()
    expect(frame.get_by_role("table").first).to_be_visible()
    frame.get_by_role("button", name="Whole range").first.click()
    expect(frame.get_by_role("button", name="Whole range")).to_have_count(0)


def test_a_link_leaves_the_sandbox_in_a_tab_of_its_own(open_page: Open, context: BrowserContext) -> None:
    context.route("https://*.example.com/**", lambda route: route.fulfill(body="there"))
    made = open_page("train")
    with context.expect_page() as opened:
        made.frame.get_by_role("region", name="Links").get_by_role("link", name="Grafana").click()
    assert opened.value.url == "https://grafana.example.com/d/ray"
    assert opened.value.evaluate("window.opener") is None
    assert "/outer/" in made.page.url


def test_a_task_s_name_leads_to_its_tab_in_airflow(open_page: Open, site: str) -> None:
    made = open_page("run")
    made.page.route("**/dags/**", lambda route: route.fulfill(body="<title>tab</title>", content_type="text/html"))
    made.frame.get_by_role("link", name="evaluate [0]").click()
    made.page.wait_for_url(f"{site}/dags/flight_delays/runs/**/tasks/evaluate/mapped/0/plugin/ray")


def calls(page: Page, site: str) -> list[dict[str, Any]]:
    answer = page.request.get(f"{site}/calls").json()
    assert isinstance(answer, list)
    return answer


def test_stop_asks_first_and_says_what_came_of_it(open_page: Open, site: str) -> None:
    made = open_page("train")
    frame = made.frame
    before = len(calls(made.page, site))
    frame.get_by_role("button", name="Stop").click()
    dialog = frame.get_by_role("dialog", name="Stop this task?")
    expect(dialog).to_be_visible()
    assert frame.evaluate("document.activeElement.closest('dialog') !== null")
    made.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert len(calls(made.page, site)) == before
    frame.get_by_role("button", name="Stop").click()
    frame.get_by_role("button", name="Stop it").click()
    expect(frame.get_by_text("Marked as failed; the job on Ray is being stopped.")).to_be_visible()
    [call] = calls(made.page, site)[before:]
    assert call["method"] == "PATCH"
    assert call["path"] == "/api/v2/dags/dag/dagRuns/run/taskInstances/train?map_index=-1"
    assert call["body"] == {"new_state": "failed"}


@pytest.mark.parametrize("choice", ["fresh", "resume"])
def test_clear_sends_the_choice_first(open_page: Open, site: str, choice: str) -> None:
    made = open_page("trained")
    frame = made.frame
    before = len(calls(made.page, site))
    frame.get_by_role("button", name="Clear").click()
    frame.get_by_role("radio", name=choice.capitalize()).check()
    frame.get_by_role("button", name="Clear it").click()
    expect(frame.locator(".said")).to_contain_text("Cleared")
    word, cleared, outcome = calls(made.page, site)[before:]
    assert (word["path"], word["body"]) == ("/air/api/clear-choice/dag/run/trained/-1", {"on_clear": choice})
    assert cleared["path"] == "/api/v2/dags/dag/clearTaskInstances"
    assert cleared["body"]["task_ids"] == ["trained"]
    assert cleared["body"]["dry_run"] is False
    assert outcome["path"] == "/air/api/clear-outcome/dag/run/trained/-1"
    assert outcome["body"] == {"at": 1764440000.5, "is_cleared": True}


@pytest.mark.parametrize(("status", "taken_back"), [(409, [False]), (503, [])])
def test_a_choice_is_taken_back_where_airflow_does_not_clear(
    open_page: Open, site: str, status: int, taken_back: list[bool]
) -> None:
    made = open_page("trained")
    made.page.route("**/clearTaskInstances", lambda route: route.fulfill(status=status, json={"detail": "no"}))
    before = len(calls(made.page, site))
    made.frame.get_by_role("button", name="Clear").click()
    made.frame.get_by_role("button", name="Clear it").click()
    expect(made.frame.locator(".said.bad")).to_have_text("That did not work: no")
    [word, *outcomes] = calls(made.page, site)[before:]
    assert word["path"].startswith("/air/api/clear-choice/")
    # Whether an Airflow that has trouble has cleared it, nobody knows: the choice lapses by itself.
    assert [outcome["body"]["is_cleared"] for outcome in outcomes] == taken_back


def shared_cluster(page: Page, **more: Any) -> dict[str, Any]:
    """Have the fixture's cluster be one that others may use, too; give the view, which may be changed."""
    view: dict[str, Any] = json.loads((UI / "fixtures" / "train.json").read_text())
    view["sections"]["cluster"] |= {"is_own": False, **more}
    view["hashes"] = dict.fromkeys(view["sections"], "h")
    page.route("**/air/api/task/**", lambda route: route.fulfill(json=view))
    return view


def test_what_is_asked_of_a_cluster_is_sent_and_what_came_of_it_is_shown(open_page: Open, site: str) -> None:
    asked = {"action": "extend", "by": "ada", "asked_at": 1764439980.0, "until": 1764460000.0}
    made = open_page("train", before=lambda page: shared_cluster(page, asked=asked))
    panel = made.frame.locator(".cluster-actions")
    expect(panel).to_contain_text("To keep it longer was asked by ada")
    expect(panel).to_contain_text("nobody has answered yet")
    before = len(calls(made.page, site))
    panel.get_by_role("button", name="Keep longer").click()
    made.frame.get_by_role("button", name="Keep it").click()
    expect(panel.get_by_role("status")).to_be_visible()
    expect(panel.get_by_role("status")).not_to_have_text("Asking…")
    [call] = calls(made.page, site)[before:]
    assert call["path"] == "/air/api/cluster-request/dag/run/train/-1"
    assert call["body"] == {"action": "extend", "seconds": 14400}


@pytest.mark.parametrize("is_answered", [True, False])
def test_the_page_of_a_task_that_is_over_asks_for_a_while_what_came_of_it(open_page: Open, is_answered: bool) -> None:
    asked: dict[str, Any] = {"action": "end", "by": "ada", "asked_at": 1764439980.0, "answer": None}
    views: list[dict[str, Any]] = []

    def before(page: Page) -> None:
        page.clock.install()
        views.append(shared_cluster(page, asked=asked))
        views[0]["sections"]["task"]["state"] = "success"

    made = open_page("train", before=before)
    note = made.frame.get_by_text("To end it was asked by ada")
    expect(note).to_contain_text("nobody has answered yet")
    asked_before = len(made.requests("/api/task/"))
    made.pass_seconds(31)
    assert 5 <= len(made.requests("/api/task/")) - asked_before <= 7
    if is_answered:
        asked["answer"] = "the cluster was asked to go"
    else:
        views[0]["now"] += 120.0
    made.pass_seconds(15)
    expect(note).to_contain_text("the cluster was asked to go" if is_answered else "nobody has answered yet")
    ended = len(made.requests("/api/task/"))
    made.pass_seconds(30)
    assert len(made.requests("/api/task/")) == ended


@pytest.mark.parametrize("gone", [{"is_gone": True}, {"expires_at": 1764439999.0}, {"expires_at": None}], ids=str)
def test_nothing_is_asked_of_a_cluster_that_is_gone(open_page: Open, gone: dict[str, Any]) -> None:
    asked = {"action": "end", "by": "ada", "asked_at": 1764439980.0, "answer": "the cluster was asked to go"}
    made = open_page("train", before=lambda page: shared_cluster(page, asked=asked, **gone))
    expect(made.frame.get_by_text("To end it was asked by ada")).to_contain_text("the cluster was asked to go")
    assert made.frame.get_by_role("button", name=re.compile("Keep longer|End cluster")).count() == 0


def test_a_cluster_says_who_has_made_it(open_page: Open) -> None:
    card = open_page("clusters").frame.locator(".panel", has_text="Made by")
    expect(card).to_contain_text("flight_delays.gpu.create_cluster")
    expect(card.get_by_role("link", name="Ray dashboard")).to_be_visible()


def test_a_cluster_is_ended_where_all_are_listed(open_page: Open, site: str) -> None:
    made = open_page("clusters")
    card = made.frame.locator(".panel", has_text="Made by")
    # Others are a task's own, or were there before.
    assert made.frame.get_by_role("button", name=re.compile("Keep longer|End cluster")).count() == 2
    before = len(calls(made.page, site))
    card.get_by_role("button", name="End cluster").click()
    dialog = made.frame.get_by_role("dialog", name="End this cluster?")
    expect(dialog).to_contain_text("All that runs on ray-flights ends with it")
    dialog.get_by_role("button", name="End it").click()
    expect(card.get_by_role("status")).to_contain_text("nobody could be asked")
    [call] = calls(made.page, site)[before:]
    run = "scheduled__2025-11-29T18%3A00%3A00%2B00%3A00"
    assert call["path"] == f"/air/api/cluster-request/flight_delays/{run}/gpu.create_cluster/-1"
    assert call["body"] == {"action": "end"}


def test_a_list_of_clusters_says_what_was_asked_of_one_that_goes(open_page: Open) -> None:
    view = json.loads((UI / "fixtures" / "clusters.json").read_text())
    asked = {
        "action": "end",
        "by": "ada",
        "asked_at": 1764439980.0,
        "answer": "the cluster ray-flights was asked to go",
    }
    view["clusters"] = [{**view["clusters"][0], "is_gone": True, "asked": asked}]
    made = open_page("clusters", before=lambda page: page.route("**/air/api/clusters*", lambda r: r.fulfill(json=view)))
    expect(made.frame.get_by_text("To end it was asked by ada")).to_contain_text("was asked to go")
    assert made.frame.get_by_role("button", name=re.compile("Keep longer|End cluster")).count() == 0


def test_of_a_mapped_task_that_one_alone_is_stopped(open_page: Open, site: str) -> None:
    made = open_page("train", path="/outer/air/task/dag/run/train/3")
    before = len(calls(made.page, site))
    made.frame.get_by_role("button", name="Stop").click()
    made.frame.get_by_role("button", name="Stop it").click()
    expect(made.frame.get_by_text("Marked as failed; the job on Ray is being stopped.")).to_be_visible()
    [call] = calls(made.page, site)[before:]
    assert call["path"] == "/api/v2/dags/dag/dagRuns/run/taskInstances/train?map_index=3"
    assert call["body"] == {"new_state": "failed"}


def test_of_a_mapped_task_that_one_alone_is_cleared(open_page: Open, site: str) -> None:
    made = open_page("trained", path="/outer/air/task/dag/run/trained/3")
    before = len(calls(made.page, site))
    made.frame.get_by_role("button", name="Clear").click()
    made.frame.get_by_role("button", name="Clear it").click()
    expect(made.frame.locator(".said")).to_contain_text("Cleared")
    word, cleared, *_ = calls(made.page, site)[before:]
    assert word["path"] == "/air/api/clear-choice/dag/run/trained/3"
    assert cleared["body"]["task_ids"] == [["trained", 3]]


def test_a_refusal_is_said_in_airflow_s_words(open_page: Open) -> None:
    made = open_page("train")
    made.page.route("**/api/v2/**", lambda route: route.fulfill(status=403, json={"detail": "Forbidden"}))
    made.frame.get_by_role("button", name="Stop").click()
    made.frame.get_by_role("button", name="Stop it").click()
    expect(made.frame.locator(".said.bad")).to_have_text("Airflow does not allow you that: Forbidden")


def test_who_may_not_act_has_no_buttons(open_page: Open) -> None:
    frame = open_page("not_ours").frame
    assert frame.get_by_role("button").count() == 0


def test_the_endpoint_has_a_command_to_copy(open_page: Open) -> None:
    made = open_page("serve")
    code = made.frame.locator(".code").first
    expect(code.locator("pre")).to_have_text("curl -sS 'https://serve.example.com/delays'")
    button = code.get_by_role("button", name="Copy")
    # It says so for two seconds.
    button.evaluate(
        """button => { window.said = [];
            const note = () => window.said.push(button.innerText);
            new MutationObserver(note).observe(button, { subtree: true, childList: true, characterData: true }); }"""
    )
    button.click()
    made.wait_until(lambda: any("Copied" in said for said in made.frame.evaluate("window.said")), "its word")


def test_a_report_needs_no_request(open_page: Open) -> None:
    made = open_page("trained", path="/air/report/dag/run/trained/-1")
    expect(made.frame.get_by_role("heading", level=1)).to_have_text("trained")
    expect(made.frame.get_by_role("heading", name="Metrics", exact=True)).to_be_visible()
    assert made.frame.get_by_role("button", name=re.compile("Stop|Clear|Log|Compare")).count() == 0
    assert [url for url in made.asked if "/static/" not in url and "/report/" not in url and "favicon" not in url] == []
    made.page.emulate_media(color_scheme="dark")
    expect(made.frame.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_report_is_a_download_away_of_the_try_that_is_shown(open_page: Open) -> None:
    made = open_page("trained")

    def downloaded() -> str:
        with made.page.expect_download() as download:
            made.frame.get_by_role("link", name="Report").click()
        assert download.value.failure() is None
        assert "air-data" in download.value.path().read_text()
        return download.value.url

    assert downloaded().endswith("/air/report/dag/run/trained/-1?download=1")
    made.frame.get_by_role("combobox", name="Try").select_option("1")
    expect(made.frame.get_by_text("This is try 1, as it was.")).to_be_visible()
    assert downloaded().endswith("/air/report/dag/run/trained/-1?download=1&try_number=1")
    assert "/outer/" in made.page.url


def test_the_report_of_a_mapped_task_is_that_one_s(open_page: Open) -> None:
    frame = open_page("trained", path="/outer/air/task/dag/run/trained/3").frame
    link = frame.get_by_role("link", name="Report")
    expect(link).to_have_attribute("href", "/air/report/dag/run/trained/3?download=1")
