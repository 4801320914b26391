"""A real browser for tests of pages, and what assistive programs find in a page."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no chromium on this machine: the page was not opened in a browser")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


def faults_of(page: Any) -> list[str]:
    """What axe-core (deque.com/axe) finds serious or critical: the rule, and the first element that breaks it; it runs beside the page's own policy."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 5  # it has looked
    return [
        f"{fault['id']}: {fault['nodes'][0]['html']}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
    ]


def links_to_nowhere(page: str) -> set[str]:
    """Places that a page links to and does not have."""
    return set(re.findall(r'href="#([^"]+)"', page)) - set(re.findall(r'id="([^"]+)"', page))
