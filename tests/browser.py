"""A real browser in tests: headless Chromium, at a width and in a theme, on a page from file://."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["NARROW", "WIDE", "chromium", "css", "drawn", "needs_browser", "open_page", "whole_and_room"]

BROWSER = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver on the PATH")
WAIT = 60
WIDE, NARROW = 1400, 400


def chromium(downloads: Path) -> Iterator[Any]:
    """A browser that saves what a page hands out to `downloads`."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install -e .[dev])")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    found.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    yield found
    found.quit()


def drawn(driver: Any, theme: str) -> None:
    """Wait until every chart stands in `theme`."""
    end = time.monotonic() + WAIT
    while driver.execute_script("return document.documentElement.dataset.drawn ?? ''") != theme:
        assert time.monotonic() < end, driver.get_log("browser")
        time.sleep(0.05)


def open_page(driver: Any, address: str, width: int = 1280, theme: str = "light", charts: bool = True) -> None:
    """Load `address` anew; wait for its charts where it has some."""
    driver.get_log("browser"), driver.get_log("performance")
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get("about:blank")  # another address with the same path would only move inside the page
    driver.get_log("performance")
    driver.get(address)
    if charts:
        drawn(driver, theme)


def css(driver: Any, selector: str) -> list[Any]:
    """The elements that `selector` finds."""
    return list(driver.find_elements("css selector", selector))


def whole_and_room(driver: Any) -> tuple[int, int]:
    """Width of the page's contents and of the window: the page is not cut where they are the same."""
    found = driver.execute_script("const r = document.documentElement; return [r.scrollWidth, r.clientWidth]")
    return int(found[0]), int(found[1])
