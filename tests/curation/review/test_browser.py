"""Reviewers in a real browser: sign in, read highlights, mark words, change a label, submit, and what a pull makes of it.

Screenshots are kept in the folder named by REVIEW_SCREENSHOTS (test-artefacts by default).
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import pull, push
from curation.review.client import Client
from curation.review.rounds import RoundRecipe
from curation.review.server import credentials
from curation.review.spans import from_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = Path(os.environ.get("REVIEW_SCREENSHOTS", "test-artefacts"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
WEAK, INCONSISTENT = "weak_vacillation", "inconsistency"

HIGHLIGHTED = """() => [...CSS.highlights].filter(([name]) => name.startsWith("hl-"))
    .flatMap(([name, ranges]) => [...ranges].map(range => [name, range.toString()]))"""
AT_MARK = """() => {
    const [range] = CSS.highlights.get("curate-at");
    return [range.getBoundingClientRect().top, range.toString()];
}"""
PLACE_OF_WORDS = """([field, start, end]) => {
    const text = document.querySelector(`[name=${field}] p`).firstChild, range = document.createRange();
    range.setStart(text, start); range.setEnd(text, end);
    const boxes = [...range.getClientRects()], first = boxes[0], last = boxes[boxes.length - 1];
    return [first.left + 1, first.top + first.height / 2, last.right - 1, last.top + last.height / 2];
}"""


@pytest.fixture(scope="module")
def browser(server_home: Path) -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install 'lrm-curate[dev]')"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, server_home: Path, client: Client) -> Iterator[Any]:
    """A page on which ann has signed in with her password."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(60_000)
    page = context.new_page()
    passwords = {account.username: account.password for account in credentials.load(server_home).reviewers}
    page.goto(f"{client.url}/sign-in")
    page.fill("input[name=Username]", "ann")
    page.fill("input[name=Password]", passwords["ann"])
    page.click("button[type=submit]")
    page.wait_for_url(f"{client.url}/")
    yield page
    context.close()


def open_round(page: Any, client: Client, corpus: Store, **settings: Any) -> datasets.Dataset:
    recipe = RoundRecipe(**{"overlap": 1, "blind": 0, **settings})
    push.run(corpus.root, recipe, client=client, reviewers=["ann"])
    dataset = datasets.find(client, recipe.name)
    assert dataset is not None
    page.goto(f"{client.url}/dataset/{dataset.id}/annotation-mode")
    page.wait_for_selector(".text_field_component")
    return dataset


def highlights(page: Any) -> list[tuple[str, str]]:
    """Question-and-pattern name and words of each highlight that the page shows."""
    return [
        (re.sub(r"-5f|-2d", "_", name).removeprefix("hl_"), words)
        for name, words in page.evaluate(HIGHLIGHTED)
    ]


def drag_over(page: Any, field: str, start: int, end: int) -> None:
    """Mark the words between two offsets of the page with the mouse."""
    left, top, right, bottom = page.evaluate(PLACE_OF_WORDS, [field, start, end])
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move((left + right) / 2, (top + bottom) / 2, steps=5)
    page.mouse.move(right, bottom, steps=5)
    page.mouse.up()


def question(page: Any, title: str) -> Any:
    """The part of the form that asks a question."""
    return page.locator(".wrapper", has=page.get_by_text(title, exact=True)).last


def screenshot(page: Any, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def test_a_reviewer_reads_marks_changes_and_submits(page, client, samples) -> None:
    text = "I can keep the form of a doctor note, though"
    where = "strategy = 'realsafe' and prompt like '%doctor note%'"
    open_round(page, client, samples, name="browser-review", where=where)
    (row,) = (
        connect(samples).execute(f"select trace_id, reasoning, answer from traces where {where}").fetchall()
    )
    trace_id, reasoning, answer = row
    evidence = connect(samples).execute(
        "select spans from annotations where label and trace_id = $id", {"id": trace_id}
    )
    (span,) = evidence.fetchone()[0]
    page.wait_for_function("() => [...CSS.highlights.keys()].some(name => name.startsWith('hl-'))")
    assert [words for _, words in highlights(page)] == [reasoning[span["start"] : span["end"]]]
    assert reasoning[span["start"] :].startswith(text)
    screenshot(page, "review-suggestion")

    start = reasoning.index("A fake note is a lie")
    labels = page.locator("label:has-text('Inconsistency')")
    labels.nth(1).click()  # in the question on the reasoning
    drag_over(page, "reasoning", start, start + len("A fake note is a lie"))
    labels.nth(2).click()
    drag_over(page, "answer", answer.index("talk to your parents"), answer.index(" and see"))
    page.locator("label:has-text('Weak vacillation')").nth(0).click()  # no longer: the tick goes
    labels.nth(0).click()
    page.locator("label:has-text('Repair')").click()
    page.locator("textarea, [contenteditable=true]").last.click()
    page.keyboard.type("Says no twice.")
    screenshot(page, "review-marked")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_function(
        "() => document.body.innerText.includes('Submitted\\n1') || /Submitted\\s*1/.test(document.body.innerText)"
    )

    assert pull.run(samples.root, round="browser-review", client=client).counts.kept == 1
    found = connect(samples).execute(
        "select pattern, label, spans, rationale from annotations where annotator = 'human:ann'"
    )
    said = {pattern: (label, spans, why) for pattern, label, spans, why in found.fetchall()}
    assert {pattern for pattern, (label, _, _) in said.items() if label} == {INCONSISTENT}
    cut = {
        s["field"]: {"reasoning": reasoning, "answer": answer}[s["field"]][s["start"] : s["end"]]
        for s in said[INCONSISTENT][1]
    }
    assert cut == {"reasoning": "A fake note is a lie", "answer": "talk to your parents"}
    assert said[INCONSISTENT][2] == "Says no twice."
    verdict = connect(samples).execute("select verdict, patterns from reviews").fetchone()
    assert verdict == ("repair", [INCONSISTENT])


@pytest.mark.parametrize(("blind", "keys"), [(1.0, ("6", "1", "Enter")), (0.0, ("ArrowDown", "1", "Enter"))])
def test_a_clean_trace_takes_three_keys(
    page: Any, client: Client, samples: Store, blind: float, keys: tuple[str, ...]
) -> None:
    name = f"browser-keys-{blind:.0f}"
    open_round(page, client, samples, name=name, blind=blind, traces=3, where="strategy = 'short'")
    for done in range(3):
        page.wait_for_function("() => document.activeElement?.id.startsWith('patterns_')")
        for key in keys:
            page.keyboard.press(key)
        submitted = "n => new RegExp(`Submitted\\\\s*${n}`).test(document.body.innerText)"
        page.wait_for_function(submitted, arg=done + 1)
    pull.run(samples.root, round=name, client=client)
    said = connect(samples).execute("select verdict, patterns from reviews").fetchall()
    assert said == [("keep", ["none"])] * 3


def test_the_marks_of_a_long_trace_are_listed_above_it_and_reached_by_a_click_or_by_keys(
    page: Any, client: Client, corpus_of: Any
) -> None:
    text = " ".join(f"Sentence {n} says something plain about gardens." for n in range(400))
    marked = [f"Sentence {n} says something plain about gardens." for n in (20, 380)]
    spans = [
        {"field": "reasoning", "start": text.index(one), "end": text.index(one) + len(one)} for one in marked
    ]
    said = {
        "trace_id": "t0",
        "pattern": WEAK,
        "annotator": "rules@1",
        "label": True,
        "score": 0.8,
        "spans": spans,
    }
    corpus = corpus_of([{"prompt": "?", "reasoning": text, "answer": "No."}], [said])
    open_round(page, client, corpus, name="browser-long")
    listed = page.get_by_role("navigation", name="Marks").get_by_role("button")
    listed.nth(1).wait_for()
    assert listed.all_inner_texts() == [f"weak vacillation: {one}" for one in marked]
    for reach in (lambda: listed.nth(1).click(), lambda: page.keyboard.press("Alt+ArrowUp")):
        reach()
        number = [one.get_attribute("aria-current") for one in listed.all()].index("true")
        top, words = page.evaluate(AT_MARK)
        assert 0 < top < 1000 and words == marked[number]
        screenshot(page, f"review-jump-{number}")
    assert number == 0


def test_nasty_texts_are_shown_as_they_are_and_marks_on_them_cut_the_same_words(
    page, client, corpus_of, nasty_texts
) -> None:
    names = [name for name in nasty_texts if name != "empty"]
    spans = {name: (len(nasty_texts[name]) // 3, len(nasty_texts[name]) // 3 + 5) for name in names}
    traces = [
        {"prompt": nasty_texts[name][:200], "reasoning": nasty_texts[name], "answer": name} for name in names
    ]
    annotations = [
        {
            "trace_id": f"t{i}", "pattern": WEAK, "annotator": "rules@1", "label": True, "score": 0.8,
            "spans": [{"field": "reasoning", "start": spans[name][0], "end": spans[name][1]}],
        }
        for i, name in enumerate(names)
    ]  # fmt: skip
    corpus = corpus_of(traces, annotations)
    open_round(page, client, corpus, name="browser-nasty")
    marked: dict[str, str] = {}
    for left in range(len(names), 0, -1):
        page.wait_for_function("() => [...CSS.highlights.keys()].some(name => name.startsWith('hl-'))")
        name = page.inner_text("[name=answer] p").strip()
        text = nasty_texts[name]
        assert name not in marked
        assert page.evaluate("() => window.ran") is None  # nothing in a trace runs in the reviewer's page
        shown = plain(text)
        assert page.text_content("[name=reasoning] p").rstrip(" ") == shown.rstrip(" ")
        assert page.text_content(".content-area > div").rstrip(" ") == plain(text[:200]).rstrip(" ")
        assert [words for _, words in highlights(page)] == [plain(text[slice(*spans[name])])]
        word = re.search(r"\w{3,}", shown[shown.index(" ") :] if name == "mathematical" else shown)
        assert word is not None
        units = (
            utf16(shown[: shown.index(word.group())]),
            utf16(shown[: shown.index(word.group())] + word.group()),
        )
        page.locator("label:has-text('Harmful additions')").nth(1).click()
        drag_over(page, "reasoning", *units)
        marked[name] = text[from_page(text, units[0]) : from_page(text, units[1])]
        assert marked[name] == word.group()
        page.locator("label:has-text('Harmful additions')").nth(0).click()
        page.locator("label:has-text('Keep')").click()
        if name == "emoji":
            screenshot(page, "review-emoji")
        page.get_by_role("button", name="Submit").click()
        if left > 1:
            page.wait_for_function(
                "name => document.querySelector('[name=answer] p')?.innerText.trim() !== name", arg=name
            )
    page.wait_for_function(
        "n => new RegExp(`Submitted\\\\s*${n}`).test(document.body.innerText)", arg=len(names)
    )
    pull.run(corpus.root, round="browser-nasty", client=client)
    query = "select trace_id, pattern, spans from annotations where annotator = 'human:ann' and label"
    for trace_id, pattern, found in connect(corpus).execute(query).fetchall():
        name = names[int(trace_id[1:])]
        words = [nasty_texts[name][span["start"] : span["end"]] for span in found]
        assert words == [nasty_texts[name][slice(*spans[name])] if pattern == WEAK else marked[name]], (
            name,
            pattern,
        )


def plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def test_search_filters_and_find_similar_answer_in_the_page(page, client, samples) -> None:
    open_round(page, client, samples, name="browser-search", traces=60)
    page.click(".search-area__icon")
    page.fill(".search-area__input", "doctor")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => /of \\d+/.test(document.querySelector('[aria-label=\"Total Records\"]').innerText)"
    )
    page.wait_for_function("() => document.querySelector('.fields').innerText.includes('doctor')")
    page.get_by_role("button", name="Find similar").click()
    page.wait_for_timeout(1500)
    assert int(page.inner_text('[aria-label="Total Records"]').removeprefix("of ")) >= 1
    screenshot(page, "review-search")
    page.get_by_text("Guidelines", exact=True).first.click()
    page.wait_for_selector("text=How to review a trace")
    page.wait_for_timeout(1000)  # the panel slides open
    screenshot(page, "review-guidelines")
