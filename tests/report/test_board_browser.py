"""The board in a real browser, from file://: nothing is cut, the address keeps what is chosen, rows are handed out."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pytest
from browser import NARROW, WIDE, css, needs_browser, open_page, whole_and_room
from drawn import PUBLISHED
from made_boards import OTHER, made_board
from selenium.webdriver.support.select import Select

from traitbench.report.board import write_board

pytestmark = needs_browser

HEIGHT = 900
ROWS = "#chosen > article > .scroll tr[data-line]:not([hidden])"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("board") / "leaderboard.html"
    write_board(*made_board(), path, PUBLISHED)
    return path.as_uri()


@pytest.fixture
def page(driver: Any, address: str) -> Any:
    open_page(driver, address, WIDE, charts=False)
    return driver


def pick(driver: Any, name: str, value: str) -> None:
    Select(css(driver, f"#pick select[name={name}]")[0]).select_by_value(value)


def labels(driver: Any) -> list[str]:
    return [row.text.partition("\n")[0] for row in css(driver, f"{ROWS} > th")]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, 1000, 760, NARROW])
def test_nothing_is_cut(driver: Any, address: str, width: int, theme: str) -> None:
    open_page(driver, address, width, theme, charts=False)
    for details in css(driver, "#others > details"):
        driver.execute_script("arguments[0].open = true", details)
    whole, room = whole_and_room(driver)
    assert whole == room <= width
    cut = """return [...document.querySelectorAll('svg')].filter((s) => s.clientWidth && !s.closest('.scroll'))
      .map((s) => s.getBoundingClientRect()).filter((b) => b.left < 0 || b.right > innerWidth).length"""
    assert driver.execute_script(cut) == 0
    shown = [chart for chart in css(driver, "#chosen .scatter svg") if chart.is_displayed()]
    assert len(shown) == 1 and shown[0].size["width"] > 300
    main = css(driver, "#chosen > article > .scroll")[0]
    inside, outside = driver.execute_script("return [arguments[0].scrollWidth, arguments[0].clientWidth]", main)
    if width in (WIDE, NARROW):
        assert inside <= outside + 1, "the main table needs no scrolling"
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("width", [WIDE, 1000, NARROW])
def test_opened_reasons_are_whole_and_cover_nothing(driver: Any, address: str, width: int) -> None:
    open_page(driver, address, width, charts=False)
    box = css(driver, "#chosen > article > .scroll")[0]
    room = "return [arguments[0].scrollWidth, arguments[0].clientWidth]"
    before, there = driver.execute_script(room, box)
    verdicts = box.find_elements("css selector", ".verdict")
    driver.execute_script("arguments[0].forEach((one) => one.open = true)", verdicts)
    assert len(verdicts) > 5 and driver.execute_script(room, box) == [before, there]
    assert before <= there + 1 or width == 1000
    script = """const inner = arguments[0].getBoundingClientRect().left - arguments[0].scrollLeft;
      return [...arguments[0].querySelectorAll('.verdict ul')].map((list) => {
        const own = list.querySelector('li').getBoundingClientRect(), row = list.closest('tr');
        const range = document.createRange();
        const boxes = [...row.cells].filter((cell) => !cell.contains(list)).map((cell) => {
          range.selectNodeContents(cell); return range.getBoundingClientRect(); });
        boxes.push(list.parentElement.querySelector('summary').getBoundingClientRect());
        const over = boxes.filter((one) => one.width && one.right > own.left && one.left < own.right
          && one.bottom > own.top + 1 && one.top < own.bottom - 1);
        return [own.left - inner, own.right - inner, over.length];
      });"""
    for left, right, over in driver.execute_script(script, box):
        assert left >= 0 and right <= before + 1 and over == 0


def test_names_in_the_scatter_stay_in_it_and_off_each_other(page: Any) -> None:
    script = """return [...document.querySelectorAll('#chosen .scatter svg.wide text.name')].map((t) => {
      const b = t.getBBox(); return [t.textContent, b.x, b.y, b.x + b.width, b.y + b.height]; })"""
    boxes = page.execute_script(script)
    assert len(boxes) > 8
    for name, left, top, right, bottom in boxes:
        assert left >= 40 and right <= 640 and top >= 0 and bottom <= 322, name
    for i, (name, left, top, right, bottom) in enumerate(boxes):
        for other, left2, top2, right2, bottom2 in boxes[:i]:
            across, down = min(right, right2) - max(left, left2), min(bottom, bottom2) - max(top, top2)
            assert across <= 2 or down <= 5, (name, other)


def test_what_has_the_colour_of_a_link_can_be_clicked(page: Any) -> None:
    script = """const link = getComputedStyle(document.querySelector('#runs a')).color;
      const words = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT), found = [];
      while (words.nextNode()) {
        const one = words.currentNode.parentElement;
        if (words.currentNode.data.trim() && !one.closest('svg, a, button, summary, .badge')
          && getComputedStyle(one).color === link) found.push(one.textContent);
      }
      return [found, getComputedStyle(document.querySelector('#chosen tr.best th')).fontWeight,
        getComputedStyle(document.querySelector('#chosen tr.other th')).fontWeight];"""
    assert page.execute_script(script) == [[], "700", "400"]


def test_it_is_read_in_six_screens_and_the_first_tells_the_answer(page: Any) -> None:
    assert page.execute_script("return document.documentElement.scrollHeight") <= 6 * HEIGHT
    for selector in ("#chosen .sentence", "#chosen .facts", "#chosen .scatter", "#chosen .lines thead"):
        box = next(one for one in css(page, selector) if one.is_displayed()).rect
        assert box["y"] >= 0 and box["y"] + box["height"] <= HEIGHT, selector
    seen = [row for row in css(page, ROWS) if row.rect["y"] + row.rect["height"] <= HEIGHT]
    assert len(seen) >= 5
    assert len(css(page, "#chosen tr.named")) == 1
    assert css(page, "#chosen tr.named th")[0].text.partition("\n")[0] in css(page, "#chosen .sentence")[0].text


def test_it_asks_for_nothing(page: Any, address: str) -> None:
    assert page.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [address]


def test_the_address_keeps_what_is_chosen(driver: Any, address: str) -> None:
    open_page(driver, address, WIDE, charts=False)
    assert "#" not in driver.current_url
    before = labels(driver)
    pick(driver, "instrument", "ipip-neo-120-choice")
    pick(driver, "model", OTHER)
    css(driver, ".menu summary")[0].click()
    for box in css(driver, ".menu input"):
        if box.get_attribute("value") in ("leakage", "option-mass"):
            box.click()
    css(driver, "#chosen th[data-col=damage] .sort")[0].click()
    kept, rows = driver.current_url, labels(driver)
    assert kept.endswith(f"#instrument=ipip-neo-120-choice&model={OTHER}&show=option-mass&hide=leakage&sort=-damage")
    assert sorted(rows) == ["p_tailor", "prompting", "sft"] and rows[0] == "p_tailor"
    open_page(driver, address, WIDE, charts=False)
    assert labels(driver) == before
    open_page(driver, kept, WIDE, charts=False)
    assert labels(driver) == rows
    assert css(driver, "#chosen > article")[0].get_attribute("id") == "ipip-neo-120-choice"
    assert not css(driver, "#chosen th[data-col=leakage]")[0].is_displayed()
    assert css(driver, "#chosen th[data-col=option-mass]")[0].is_displayed()
    assert css(driver, "#chosen th[data-col=damage]")[0].get_attribute("aria-sort") == "descending"
    assert "3 of" in css(driver, "#pick [role=status]")[0].text
    assert OTHER in next(s.text for s in css(driver, "#chosen .sentence") if s.is_displayed())
    assert "ipip-neo-120-statement" in driver.page_source, "the main one waits below"
    driver.back()


@pytest.mark.parametrize("instrument", ["", "ipip-neo-120-choice", "sd3-statement"])
def test_the_menu_of_columns_lists_those_of_the_shown_table(page: Any, instrument: str) -> None:
    if instrument:
        pick(page, "instrument", instrument)
    css(page, ".menu summary")[0].click()
    heads = css(page, "#chosen > article > .scroll thead th")[2:]
    text = "return arguments[0].textContent"
    expected = [page.execute_script(text, head.find_element("css selector", ".sort")) for head in heads]
    listed = [box.text for box in css(page, ".menu label") if box.is_displayed()]
    assert listed == expected
    assert listed[0] == f"effect [95 %], {'POMP' if 'choice' in instrument else 'nats a token'}"
    ticked = [box.is_selected() for box in css(page, ".menu input") if box.is_displayed()]
    assert ticked == [head.is_displayed() for head in heads]


def test_models_beside_methods_are_those_of_the_chosen_instrument(page: Any) -> None:
    for key in ("ipip-neo-120-choice", "sd3-statement", "ipip-neo-120-statement"):
        pick(page, "instrument", key)
        title = css(page, "#chosen > article")[0].get_attribute("aria-label")
        shown = [one.text for one in css(page, "#models caption") if one.is_displayed()]
        assert len(shown) == 1 and shown[0].startswith(f"{title}: effect [95 %]")


def test_an_address_of_another_board_shows_the_usual(driver: Any, address: str) -> None:
    open_page(driver, f"{address}#instrument=nothing&model=%3Cb%3E&verdict=x&hide=y,%00&sort=-z", WIDE, charts=False)
    assert len(labels(driver)) > 10
    assert driver.get_log("browser") == []


def test_filters_hide_rows_and_their_points(page: Any) -> None:
    assert len(css(page, "#chosen .scatter svg.wide .dot:not(.off)")) == len(labels(page))
    pick(page, "model", OTHER)
    assert sorted(labels(page)) == ["p_tailor", "prompting", "sft"]
    assert len(css(page, "#chosen .scatter svg.wide .dot:not(.off)")) == 3
    note, table = css(page, "#chosen .filtered")[0], css(page, "#chosen > article > .scroll")[0]
    drawing = css(page, "#chosen .scatter")[0]
    assert table.is_displayed() and drawing.is_displayed() and not note.is_displayed()
    pick(page, "verdict", "not-interpretable")
    assert labels(page) == [] and not table.is_displayed() and not drawing.is_displayed()
    assert note.text == (
        f"No run of {OTHER} here has the verdict “not interpretable”. The words above are about all runs of {OTHER}, "
        "whatever their verdict."
    )
    pick(page, "model", "")
    assert table.is_displayed() and note.text == "The words above are about all runs, whatever their verdict."
    pick(page, "verdict", "interpretable")
    assert not table.is_displayed() and note.text.startswith(
        "No run here has the verdict “interpretable”. The words above"
    )
    pick(page, "verdict", "")
    assert table.is_displayed() and drawing.is_displayed() and not note.is_displayed()
    pick(page, "instrument", "sd3-statement")
    pick(page, "model", OTHER)
    assert css(page, "#chosen .filtered")[0].text == f"No run here is of {OTHER}."
    pick(page, "instrument", "ipip-neo-120-statement")
    pick(page, "model", "")
    assert "#" not in page.current_url.removesuffix("#")


def test_a_click_sorts_and_what_is_missing_stands_last(page: Any) -> None:
    values = (
        """return [...document.querySelectorAll(arguments[0] + ' > [data-col=damage]')].map((c) => c.dataset.value)"""
    )
    for _ in range(2):
        css(page, "#chosen th[data-col=damage] .sort")[0].click()
        up = css(page, "#chosen th[data-col=damage]")[0].get_attribute("aria-sort") == "ascending"
        held = page.execute_script(values, ROWS)
        known = [float(value) for value in held if value]
        assert known == sorted(known, reverse=not up) and len(known) > 8
        assert held[len(known) :] == [""] * (len(held) - len(known)) != []


def saved(driver: Any, end: str) -> Path:
    """The file that a button saved."""
    for _ in range(100):
        files = list(driver.downloads.glob(f"*.{end}"))
        if files:
            return Path(files[0])
        time.sleep(0.1)
    raise AssertionError(f"no .{end} in {list(driver.downloads.iterdir())}; {driver.get_log('browser')}")


def test_rows_are_handed_out_as_they_are_shown(page: Any) -> None:
    pick(page, "model", OTHER)
    shown = labels(page)
    css(page, "#csv")[0].click()
    with saved(page, "csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    css(page, "#json")[0].click()
    held = json.loads(saved(page, "json").read_text("utf-8"))
    assert [row["run"] for row in rows] == [row["run"] for row in held] == shown
    for row, same in zip(rows, held, strict=True):
        assert row["model"] == same["model"] == OTHER
        assert float(row["value"]) == same["value"] and float(row["value_low"]) == same["value_low"]
        assert float(row["openness"]) == same["openness"]
        assert row["damage"] == ("" if same["damage"] is None else str(same["damage"]))
        assert row["reasons"] and same["rank_high"] == same["rank"] + 3
    assert saved(page, "csv").name == "traitbench-ipip-neo-120-statement.csv"


def test_the_theme_follows_the_system_and_the_button(driver: Any, address: str) -> None:
    ground = "return getComputedStyle(document.querySelector('.instrument')).backgroundColor"
    open_page(driver, address, WIDE, "dark", charts=False)
    toggle, dark = css(driver, "#theme")[0], driver.execute_script(ground)
    assert toggle.get_attribute("aria-pressed") == "true"
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "false" and driver.execute_script(ground) != dark
    toggle.click()
    assert driver.execute_script(ground) == dark


def test_without_its_script_and_on_paper_everything_is_there(driver: Any, address: str) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get("about:blank")
        driver.get(address)
        assert css(driver, "#chosen .scatter svg.wide")[0].is_displayed()
        assert not css(driver, "#pick")[0].is_displayed() and not css(driver, "#theme")[0].is_displayed()
        assert len(css(driver, "#others > details")) > 5
        assert len(driver.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 20_000
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
