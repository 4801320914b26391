"""The page in a real browser: keys alone, hostile texts, and what assistive programs need."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from schemas import RISKY_PATTERNS
from tests.curation.view.conftest import Serve
from tests.looking import faults_of

ATTACK = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'></textarea></dialog></style></script>"
    "<svg onload=window.hacked=3><a href='javascript:window.hacked=4'>x</a>{{ 7 * 7 }}\" autofocus onfocus=\"window.hacked=5"
)


def opened(browser: Any, address: str) -> tuple[Any, list[str]]:
    """The page, and what it complained of or asked others for."""
    trouble: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "request", lambda request: trouble.append(request.url) if "//127.0.0.1:" not in request.url else None
    )
    page.goto(address)
    return page, trouble


def stands_at(page: Any, position: int) -> None:
    page.get_by_text(f"{position} of 80", exact=True).wait_for()
    page.wait_for_load_state("load")


@pytest.mark.slow
def test_ten_traces_are_reviewed_by_keys_alone(serve: Serve, filled: Store, browser: Any) -> None:
    page, trouble = opened(browser, serve(filled.root)[1])
    page.keyboard.press("/")
    page.keyboard.type("question")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=question")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    for n in range(10):
        stands_at(page, n + 1)
        for key in (
            ("3", "0", "y") if n % 2 else ("0", "1", "2", "d")
        ):  # a pattern unticks "none", and the other way
            page.keyboard.press(key)
        page.keyboard.press("Enter")
    stands_at(page, 11)
    page.keyboard.press("m")
    page.keyboard.type("n0t a key?")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.wait_for_url("**/?q=question")
    reviews = [row for batch in filled.scan("reviews") for row in batch.to_pylist()]
    said = sorted((row["verdict"], tuple(row["patterns"])) for row in reviews)
    assert said == [("drop", RISKY_PATTERNS[:2])] * 5 + [("keep", ("none",))] * 5
    assert trouble == []


def test_no_text_of_the_corpus_runs(serve: Serve, corpus: Store, browser: Any, tmp_path: Path) -> None:
    row = {
        "trace_id": "t", "prompt_id": "p", "prompt": ATTACK, "kind": "harmful", "strategy": ATTACK, "model": ATTACK, "reasoning": ATTACK,
        "answer": ATTACK, "sample_index": 0, "source": ATTACK, "source_id": ATTACK, "system": ATTACK, "turns": [{"role": ATTACK, "content": ATTACK}],
    }  # fmt: skip
    said = {"trace_id": "t", "pattern": "inconsistency", "annotator": f"x{ATTACK}", "label": True, "rationale": ATTACK, "spans": [{"field": "reasoning", "start": 3, "end": 60}]}  # fmt: skip
    corpus.append_rows("traces", [row])
    corpus.append_rows("annotations", [said, said | {"pattern": ATTACK}])
    corpus.append_rows("reviews", [{"round": ATTACK, "trace_id": "t", "reviewer": ATTACK, "updated_at": ATTACK, "status": "submitted", "verdict": ATTACK, "comment": ATTACK}])  # fmt: skip
    origin, address = serve(corpus.root)
    page, trouble = opened(browser, f"{address}&show=1")
    for path in ("/?show=1&q=script", "/trace?id=t&show=1", "/trace?id=t", f"/?q={ATTACK.replace(' ', '+')}"):
        page.goto(origin + path)
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        assert page.evaluate("window.hacked") is None
        assert page.locator("script").count() == 1 and page.locator("img, svg, [onfocus]").count() == 0
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert trouble == []


def test_evidence_is_switched_off_by_annotator_and_texts_shown_on_a_key(
    serve: Serve, filled: Store, browser: Any
) -> None:
    trace_id = next(filled.scan("traces")).to_pylist()[0]["trace_id"]
    span = {"field": "reasoning", "start": 0, "end": 6}
    filled.append_rows("annotations", [{"trace_id": trace_id, "pattern": "inconsistency", "annotator": "judge:x@1", "label": True, "spans": [span]}])  # fmt: skip
    origin, address = serve(filled.root)
    page, _ = opened(browser, address)
    page.goto(f"{origin}/trace?id={trace_id}")
    assert page.locator("mark").inner_text() == "Let me"
    page.get_by_label("judge:x@1").first.uncheck()
    assert page.locator("mark.off").count() == 1
    assert "privacy" not in page.locator(".text").first.inner_text()
    page.keyboard.press("s")
    page.wait_for_url("**show=1**")
    assert "privacy" in page.locator(".text").first.inner_text()
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()


NAMELESS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), textarea, summary')]
  .filter((each) => !(each.textContent.trim() || each.ariaLabel || each.labels?.length)).map((each) => each.outerHTML)"""


def test_everything_that_can_be_used_has_a_name_and_headings_step_down(
    serve: Serve, filled: Store, browser: Any
) -> None:
    trace_id = next(filled.scan("traces")).to_pylist()[0]["trace_id"]
    origin, address = serve(filled.root)
    page, _ = opened(browser, address)
    for path in ("/", "/?q=nothingatall", f"/trace?id={trace_id}", "/trace?id=none"):
        page.goto(origin + path)
        assert page.evaluate(NAMELESS) == []
        assert page.locator("h1").count() == 1 and page.locator("main").count() == 1
        assert page.evaluate("document.documentElement.lang") == "en"
        assert faults_of(page) == []
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
        assert len(ids) == len(set(ids)), json.dumps(ids)
