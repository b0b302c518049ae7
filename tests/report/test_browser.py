"""The report in a real browser, from file://: it asks for nothing, draws, sorts, filters, and fits a telephone."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import css, drawn, needs_browser, open_page, whole_and_room
from made_runs import person_run, strength_run

from traitbench.report import write_report
from traitbench.runs.results import Results
from traitbench.store import read_json

pytestmark = needs_browser

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of two runs on one instrument, one of them of a model with a hostile name."""
    found = []
    for run in ("smollm2@prompting", "scripted__uniform@none"):
        every = [Results.model_validate(read_json(p)) for p in sorted(PUBLISHED.glob(f"{run}+*/results_*.json"))]
        found.append(next(r for r in every if "bfi_44" in r.versions))
    hostile = found[0].model_copy(update={"model_name": HOSTILE, "warnings": [HOSTILE]})
    sources = {"hostile": hostile, "uniform": found[1]}
    return write_report(sources, tmp_path_factory.mktemp("page") / "report.html", "Report")[0].as_uri()


@pytest.fixture
def page(driver: Any, address: str) -> Any:
    open_page(driver, address)
    return driver


def column(driver: Any, index: int) -> list[str]:
    """What the shown rows are sorted by in a column."""
    script = """return [...document.querySelectorAll('#board tbody tr:not([hidden])')].map((row) =>
      row.cells[arguments[0]].dataset.value ?? row.cells[arguments[0]].textContent)"""
    return list(driver.execute_script(script, index))


def test_it_loads_without_an_error_or_a_request(page: Any, address: str) -> None:
    assert page.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [address]


def test_the_policy_stops_what_a_page_might_try(page: Any) -> None:
    script = """const done = arguments[0];
      fetch('https://example.invalid/').then(() => done('fetched'), () => done('refused'))"""
    violated = """const seen = []; addEventListener('securitypolicyviolation', (e) => seen.push(e.effectiveDirective));
      const made = document.createElement('script'); made.textContent = 'window.ran = 1'; document.body.append(made);
      const done = arguments[0]; setTimeout(() => done([seen, window.ran ?? null]), 100)"""
    assert page.execute_async_script(script) == "refused"
    assert page.execute_async_script(violated) == [["script-src-elem"], None]
    page.get_log("browser")


def test_every_chart_is_drawn(page: Any) -> None:
    charts = css(page, ".chart")
    assert len(charts) >= 8
    for chart in charts:
        marks = chart.find_elements(
            "css selector", "svg [role='graphics-symbol'], svg .mark-rect path, svg .mark-text text"
        )
        assert len(marks) > 2, chart.get_attribute("data-spec")
        size = chart.find_element("css selector", "svg").size
        assert size["width"] > 150 and size["height"] > 60
    (forest,) = css(page, "#bfi-44-statement-effects .chart")
    points = forest.find_elements("css selector", "g.mark-symbol.role-mark path")
    assert len(points) == 5, "five targets, one run that aims"


def test_a_click_sorts_and_another_turns_it_round(page: Any) -> None:
    header = css(page, "#board thead th")[4]
    button = header.find_element("css selector", "button")
    before = column(page, 4)
    for direction, sign in (("ascending", 1), ("descending", -1)):
        button.click()
        assert header.get_attribute("aria-sort") == direction
        units = page.execute_script(
            "return [...document.querySelectorAll('#board tbody tr')].map((r) => r.cells[4].dataset.unit)"
        )
        found = column(page, 4)
        assert sorted(found) == sorted(before)
        assert units == sorted(units, key=str.lower), "what cannot be compared stands apart"
        for unit in set(units):
            mine = [value for value, u in zip(found, units, strict=True) if u == unit]
            known = [float(value) for value in mine if value]
            assert known == sorted(known, reverse=sign < 0)
            assert mine[len(known) :] == [""] * (len(mine) - len(known)), "what is missing stands last"
    assert [h.get_attribute("aria-sort") for h in css(page, "#board thead th")].count("none") == 12


def test_the_keyboard_sorts_and_reaches_everything(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    body = css(page, "body")[0]
    body.send_keys(Keys.TAB)
    skip = page.switch_to.active_element
    assert skip.get_attribute("class") == "skip" and skip.rect["x"] >= 0
    seen = []
    for _ in range(40):
        page.switch_to.active_element.send_keys(Keys.TAB)
        here = page.switch_to.active_element
        seen.append(here.get_attribute("name") or here.text.partition("\n")[0] or here.get_attribute("class"))
        style = page.execute_script(
            "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, s.outlineWidth]", here
        )
        assert style == ["solid", "3px"], seen
        if here.text == "run" and here.tag_name == "button":
            here.send_keys(Keys.ENTER)
            break
    assert {"Dark colours", "Overview", "words", "task", "mode", "verdict"} <= set(seen)
    assert css(page, "#board thead th")[0].get_attribute("aria-sort") == "ascending"
    assert column(page, 0) == sorted(column(page, 0), key=str.lower)
    css(page, "#board thead th button")[0].send_keys(Keys.SPACE)
    assert css(page, "#board thead th")[0].get_attribute("aria-sort") == "descending"


def test_filters_reduce_the_rows_and_say_so(page: Any) -> None:
    from selenium.webdriver.support.select import Select

    status = css(page, "#filters [role=status]")[0]
    assert status.text == "4 of 4 rows shown"
    words = css(page, "#filters input")[0]
    words.send_keys("uniform")
    assert (status.text, len(column(page, 0))) == ("2 of 4 rows shown", 2)
    words.send_keys(" nothing at all")
    assert (status.text, column(page, 0)) == ("0 of 4 rows shown", [])
    words.clear()
    mode = Select(css(page, "#filters select[name=mode]")[0])
    mode.select_by_value("choice")
    assert column(page, 2) == ["choice", "choice"]
    mode.select_by_value("")
    Select(css(page, "#filters select[name=verdict]")[0]).select_by_value("interpretable")
    assert (status.text, column(page, 2)) == ("1 of 4 rows shown", ["statement"])
    mode.select_by_value("choice")
    assert column(page, 2) == []


def test_the_theme_follows_the_system_and_the_button(driver: Any, address: str) -> None:
    label = "return document.querySelector('#bfi-44-statement-effects svg text').getAttribute('fill')"
    ground = "return getComputedStyle(document.body).backgroundColor"
    open_page(driver, address, theme="dark")
    toggle = css(driver, "#theme")[0]
    dark = driver.execute_script(label), driver.execute_script(ground)
    assert toggle.get_attribute("aria-pressed") == "true"
    toggle.click()
    drawn(driver, "light")
    light = driver.execute_script(label), driver.execute_script(ground)
    assert toggle.get_attribute("aria-pressed") == "false"
    assert dark[0] != light[0] and dark[1] != light[1]
    toggle.click()
    drawn(driver, "dark")
    assert (driver.execute_script(label), driver.execute_script(ground)) == dark
    assert driver.get_log("browser") == []


def test_a_hostile_name_is_read_as_text(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    assert HOSTILE in css(page, "#board")[0].text
    assert HOSTILE in css(page, "#runs")[0].text
    (chart,) = css(page, "#bfi-44-choice-response-style .chart")
    assert any(HOSTILE in text.text for text in chart.find_elements("css selector", "svg text"))
    bar = chart.find_element("css selector", "svg .mark-rect.role-mark path")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", bar)
    ActionChains(page).move_to_element(bar).perform()
    tip = css(page, "#vg-tooltip-element")[0]
    assert tip.is_displayed() and HOSTILE in tip.text
    assert page.execute_script("return document.querySelectorAll('script').length") == len(css(page, ".chart")) + 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_telephone(driver: Any, address: str, theme: str) -> None:
    open_page(driver, address, 400, theme)
    whole, room = whole_and_room(driver)
    assert whole == room <= 400
    board = css(driver, "#overview .scroll")[0]
    inside, outside = driver.execute_script("return [arguments[0].scrollWidth, arguments[0].clientWidth]", board)
    assert inside > outside, "the table scrolls in its own box"
    assert board.get_attribute("tabindex") == "0", "which the keyboard reaches"
    small = "return [...document.querySelectorAll('.chart svg')].filter((s) => s.clientWidth < 100).length"
    assert driver.execute_script(small) == 0


@pytest.mark.parametrize(("width", "columns"), [(1280, 4), (1000, 2), (400, 1)])
def test_panels_of_one_target_wrap_in_equal_rows(driver: Any, tmp_path: Path, width: int, columns: int) -> None:
    open_page(driver, write_report({"a": strength_run()}, tmp_path / "a.html", "t")[0].as_uri(), width)
    titles = css(driver, "#mini-ipip-choice-dose-over-strength svg .role-title-text")
    heights = sorted(t.rect["y"] for t in titles if t.text.startswith("openness"))
    # Titles of one row may differ by parts of a pixel.
    rows = 1 + sum(lower - upper > 20 for upper, lower in pairwise(heights))
    assert len(heights) == 4 and rows == 4 // columns
    assert driver.get_log("browser") == []


def test_persons_and_curves_are_drawn_without_an_error(driver: Any, tmp_path: Path) -> None:
    sources = {
        "pas": person_run(),
        "none": person_run("none"),
        "leak": person_run(contaminated={"person_alignment": 7}),
    }
    for width in (1280, 400):
        open_page(driver, write_report(sources, tmp_path / "a.html", "t")[0].as_uri(), width)
        assert driver.get_log("browser") == []
        names = ("choice-person-alignment", "choice-person-alignment-each", "development")
        for name in names:
            (chart,) = css(driver, f"#person-alignment-{name} .chart")
            assert len(chart.find_elements("css selector", "g.mark-symbol.role-mark path")) > 5
        whole, room = whole_and_room(driver)
        assert whole == room <= width
    (mark,) = css(driver, "#board .spoilt")
    assert mark.is_displayed() and mark.text == "contaminated (7 items)"
    text = driver.find_element("css selector", "#person-alignment-choice-person-alignment svg").text
    assert "oracle" in text and "constant 3" in text


def test_print_hides_the_controls(page: Any) -> None:
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden = "return ['nav', '#filters', '#theme'].map((s) => getComputedStyle(document.querySelector(s)).display)"
        assert page.execute_script(hidden) == ["none"] * 3
        assert len(page.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 20_000
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
