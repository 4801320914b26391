"""The report, with hostile traces, in a real browser where there is one."""

from pathlib import Path
from typing import Any

import pytest

from annotators.statistics.intervals import wilson
from curation import masking
from curation.corpus.store import Store
from curation.report import stage as report
from schemas import RISKY_PATTERNS, prompt_id
from tests.looking import faults_of

ATTACK = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'></pre></details></style></script>"
    "<svg onload=window.hacked=3><a href='javascript:window.hacked=4'>x</a>{{ 7 * 7 }}{% raw %}\" autofocus onfocus=\"window.hacked=5"
)


@pytest.fixture
def hostile(tmp_path: Path) -> Store:
    """A corpus in which every text that a file can bring is an attack on the page."""
    corpus = Store.create(tmp_path / "hostile")
    traces, annotations = [], []
    for n, pattern in enumerate(RISKY_PATTERNS):
        trace = {
            "trace_id": f"t{n}", "prompt_id": prompt_id(ATTACK), "prompt": ATTACK, "kind": "harmful", "strategy": ATTACK,
            "model": ATTACK, "reasoning": f"{n} {ATTACK}", "answer": ATTACK, "sample_index": 0, "source": ATTACK,
        }  # fmt: skip
        traces.append(trace)
        span = {"field": "reasoning", "start": 2, "end": 30}
        annotations.append(
            {
                "trace_id": f"t{n}",
                "pattern": pattern,
                "annotator": "rules@1",
                "label": True,
                "spans": [span],
                "rationale": ATTACK,
            }
        )
    corpus.append_rows("traces", traces)
    corpus.append_rows("annotations", annotations)
    return corpus


def opened(browser: Any, path: Path) -> tuple[Any, list[str]]:
    """The page, and everything it asked the network for."""
    asked: list[str] = []
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, asked


def test_no_script_of_the_data_runs_and_nothing_is_loaded(
    hostile: Store, tmp_path: Path, browser: Any
) -> None:
    report.write_page(hostile.root, show=True, out=tmp_path / "r.html")
    page, asked = opened(browser, tmp_path / "r.html")
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert page.evaluate("window.hacked") is None
    assert asked == [(tmp_path / "r.html").as_uri()]
    assert page.locator("script").count() == 1 and page.locator("img").count() == 0
    assert "window.hacked = 1" in page.locator("details pre").first.inner_text()


def test_the_policy_stops_a_script_even_where_an_escape_is_forgotten(
    hostile: Store, tmp_path: Path, browser: Any
) -> None:
    report.write_page(hostile.root, out=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    (tmp_path / "r.html").write_text(text.replace("<h1>", f"{ATTACK}<h1>", 1))
    page, _ = opened(browser, tmp_path / "r.html")
    assert page.evaluate("window.hacked") is None


def test_tables_sort_by_number_on_a_click_and_a_field_keeps_the_rows_with_its_words(
    filled: Store, tmp_path: Path, browser: Any
) -> None:
    report.write_page(filled.root, out=tmp_path / "r.html")
    page, _ = opened(browser, tmp_path / "r.html")
    table = page.get_by_role("region", name="Traces by category").locator("table")

    def column() -> list[int]:
        return [int(row.locator("td").nth(1).inner_text()) for row in table.locator("tbody tr").all()]

    table.locator("th button").nth(1).click()
    assert column() == sorted(column(), reverse=True) and len(set(column())) > 1
    table.locator("th button").nth(1).click()
    assert column() == sorted(column())
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
    page.get_by_role("searchbox", name="before and after").fill("improved weak")
    rows = page.get_by_role("region", name="before and after").locator("tbody tr:visible")
    assert rows.count() == 1 and rows.inner_text().startswith("improved\tweak vacillation")
    assert page.get_by_text("1 of 10 rows").is_visible()


def test_the_contents_name_every_section_and_the_headline_says_what_was_found(
    filled: Store, tmp_path: Path, browser: Any
) -> None:
    report.write_page(filled.root, out=tmp_path / "r.html")
    page, _ = opened(browser, tmp_path / "r.html")
    listed = page.get_by_role("navigation", name="Contents").get_by_role("link").all_inner_texts()
    assert listed == page.locator("h2").all_inner_texts() and len(listed) > 6
    (low, high) = wilson(10, 60)
    told = f"Of 60 judged traces on harmful prompts, 16.7 % [{100 * low:.1f}, {100 * high:.1f}] show a risky pattern; most often weak vacillation in default (10 of 30)."
    assert page.locator(".headline").inner_text().replace("\u00a0", " ") == told


def test_a_chart_tells_its_value_at_once_where_the_pointer_is(
    filled: Store, tmp_path: Path, browser: Any
) -> None:
    report.write_page(filled.root, out=tmp_path / "r.html")
    assert "<title>privacy: " in (tmp_path / "r.html").read_text()  # for browsers that run no script
    page, _ = opened(browser, tmp_path / "r.html")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("region", name="Traces by category").locator("td.chart .mark").first.hover()
    low, high = wilson(0, 18)
    assert (
        page.locator(".tip").inner_text() == f"deception: 0.0 % [{100 * low:.1f}, {100 * high:.1f}], 0 of 18"
    )


def test_a_wide_table_scrolls_in_its_frame_and_keeps_its_first_column(
    filled: Store, tmp_path: Path, browser: Any
) -> None:
    report.write_page(filled.root, out=tmp_path / "r.html")
    page, _ = opened(browser, tmp_path / "r.html")
    frame = page.get_by_role("region", name="Patterns by strategy")
    assert frame.evaluate("one => one.scrollWidth > one.clientWidth")
    before = frame.locator("td").first.bounding_box()["x"]
    frame.evaluate("one => (one.scrollLeft = 200)")
    assert frame.locator("td").first.bounding_box()["x"] == before
    assert frame.locator("td").nth(1).bounding_box()["x"] < before


def test_no_serious_fault_for_assistive_programs(
    filled: Store, hostile: Store, tmp_path: Path, browser: Any
) -> None:
    for corpus in (filled, hostile):
        report.write_page(corpus.root, out=tmp_path / "r.html")
        page, _ = opened(browser, tmp_path / "r.html")
        assert faults_of(page) == []


def test_nothing_is_wider_than_a_phone(hostile: Store, filled: Store, tmp_path: Path, browser: Any) -> None:
    for corpus in (hostile, filled):
        report.write_page(corpus.root, show=True, out=tmp_path / "r.html")
        page, _ = opened(browser, tmp_path / "r.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_examples_are_masked_unless_asked_for(filled: Store, tmp_path: Path) -> None:
    report.write_page(filled.root, out=tmp_path / "masked.html")
    report.write_page(filled.root, show=True, out=tmp_path / "shown.html")
    masked, shown = (tmp_path / "masked.html").read_text(), (tmp_path / "shown.html").read_text()
    assert "about privacy" not in masked and "about privacy" in shown
    assert "[masked: 24 characters]" in masked and "[masked" not in shown


def test_a_mix_stands_beside_the_corpus(build, filled: Store, tmp_path: Path) -> None:
    build("name: x\nparts:\n  a: {where: \"kind = 'harmful' and not weak_vacillation\", take: 20}\n")
    report.write_page(filled.root, [tmp_path / "mix"], out=tmp_path / "r.html")
    from curation.corpus.query import connect

    before, after = report.pattern_rates(connect(filled), [tmp_path / "mix"])
    assert before.found["default", "weak_vacillation"] == (10, 30)
    assert all(k == 0 for (_, pattern), (k, _) in after.found.items() if pattern == "weak_vacillation")
    assert sum(n for (_, pattern), (_, n) in after.found.items() if pattern == "weak_vacillation") == 20


def test_a_guard_s_verdicts_are_a_filter_of_their_own(filled: Store) -> None:
    from curation.corpus.query import connect, select

    ids = select(connect(filled), "select trace_id from traces where strategy = 'default'")[
        "trace_id"
    ].to_pylist()
    filled.append_rows(
        "annotations",
        [
            {"trace_id": id, "pattern": "unsafe", "annotator": "guard:g@1", "label": n % 2 == 0}
            for n, id in enumerate(ids)
        ],
    )
    names = [rates.name for rates in report.pattern_rates(connect(filled), [])]
    assert names == ["all traces", "guard-filtered"]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(2, 4)], [("ab", False), ("cd", True), ("ef", False)]),
        ([(2, 4), (3, 5)], [("ab", False), ("cde", True), ("f", False)]),
        ([(0, 99)], [("abcdef", True)]),
        ([], [("abcdef", False)]),
    ],
)
def test_pieces_mark_the_evidence(spans: list[tuple[int, int]], expected: list[tuple[str, bool]]) -> None:
    assert [tuple(piece) for piece in report.pieces("abcdef", spans, whole=True)] == expected


def test_a_mask_keeps_plain_words_and_length() -> None:
    text = "I could copy permit no. 7 with a scanner; that's wrong, so no."
    masked = masking.mask_words(text)
    assert len(masked) == len(text)
    assert masked.startswith("I could ▒▒▒▒ ▒▒▒▒▒▒ no. ▒ with a ▒▒▒▒▒▒▒;") and masked.endswith(
        "that's wrong, so no."
    )
