"""Models side by side: the table, the tests, the flips, and a page without any text of a prompt."""

import csv
import json
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from curation.engines import Sampling
from schemas.errors import DataError
from sft.cli import app
from sft.comparison import overview
from sft.comparison.report import judge_lines
from sft.comparison.results import ScoredModel
from sft.comparison.stage import compare, load
from sft.comparison.tables import csv as as_csv
from sft.comparison.tables import latex, markdown, page, rows, write_page
from sft.scoring.measures import MEASURES
from sft.scoring.scores import OUTCOMES, SCORES, Scores
from sft.scoring.suite_files import find
from sft.scoring.suites import ReplyOutcome, score
from tests.looking import faults_of, links_to_nowhere

HEAD = {
    suite: MEASURES[name].title
    for suite, name in {
        "safety": "does_not_refuse",
        "overrefusal": "refuses",
        "reasoning": "accuracy",
    }.items()
}


def titles(suite: str) -> list[str]:
    return [MEASURES[name].title for name in find(suite).measures]


def outcome(
    suite: Any, number: int, label: bool | None, attack: str = "none", category: str | None = None
) -> ReplyOutcome:
    measures = dict.fromkeys(titles(suite)) | {HEAD[suite]: label}
    return ReplyOutcome(suite, f"p{number}", 0, category, attack, "closed", measures)


def write(folder: Path, safety: list[bool], benign: list[bool], math: list[bool], **how: Any) -> Path:
    found = [outcome("safety", n, label, category=f"topic {n % 2}") for n, label in enumerate(safety)]
    found += [outcome("safety", 100 + n, label, "story") for n, label in enumerate(safety[::-1])]
    found += [outcome("overrefusal", 200 + n, label) for n, label in enumerate(benign)]
    found += [outcome("reasoning", 300 + n, label) for n, label in enumerate(math)]
    suites: list[Any] = [
        score(find(s), [o for o in found if o.suite == s]) for s in ("safety", "overrefusal", "reasoning")
    ]  # type: ignore[arg-type]
    scores = Scores(
        model=f"{folder.name}@1", mix_id=None, judge="rules@1", sampling=Sampling(), suites=suites, **how
    )
    folder.mkdir()
    (folder / SCORES).write_text(scores.model_dump_json())
    (folder / OUTCOMES).write_bytes(b"".join(orjson.dumps(o._asdict()) + b"\n" for o in found))
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [
        write(tmp_path / "raw", [True] * 33 + [False] * 17, [False] * 30, [True] * 20),
        write(
            tmp_path / "default",
            [True] * 27 + [False] * 23,
            [True] * 3 + [False] * 27,
            [True] * 18 + [False] * 2,
        ),
        write(
            tmp_path / "improved", [True] * 2 + [False] * 48, [True] * 6 + [False] * 24, [True] * 19 + [False]
        ),
    ]


def test_the_table_has_attacks_over_refusal_and_accuracy_with_intervals(folders: list[Path]) -> None:
    found = compare(load(folders))
    assert found.columns == ["ASR none", "ASR story", "over-refusal", "accuracy"]
    assert (
        rows(found)[1][:2] == ["raw", "66.0 [52.2, 77.6] 33/50, 100.0 %"]
        and rows(found)[3][3] == "20.0 [9.5, 37.3] 6/30, 100.0 %"
    )


def test_a_small_difference_is_not_distinguishable_and_a_large_one_is(folders: list[Path]) -> None:
    verdicts = {(d.column, d.first, d.second): d for d in compare(load(folders)).differences}
    near = verdicts["accuracy", "raw", "default"]
    assert "100.0 % against 90.0 % on 20 prompts: not significant" in near.conclusion and near.p > 0.05
    far = verdicts["ASR none", "raw", "improved"]
    assert far.p < 0.001 and far.pair.only_first == 31 and "prompts: significant" in far.conclusion


def test_flips_are_listed_prompt_by_prompt(folders: list[Path]) -> None:
    flips = [flip for flip in compare(load(folders)).flips if flip["column"] == "over-refusal"]
    assert len(flips) == 6 and flips[0]["prompt_id"] == "p200"
    assert flips[0]["yes"] == ["default", "improved"] and flips[0]["no"] == ["raw"]


def test_every_format_holds_every_model_and_escapes_it(folders: list[Path]) -> None:
    found = compare(load(folders, ["=cmd|1", "a_b & c", "<b>x</b>"]))
    assert markdown(found).count("\n| ") == 4 and "=cmd\\|1" in markdown(found)
    assert r"a\_b \& c" in latex(found) and latex(found).count(r"\\") == 4
    lines = list(csv.reader(StringIO(as_csv(found))))
    assert len(lines) == 13 and lines[1][0] == "'=cmd|1" and lines[1][2:4] == ["33", "50"]
    html = page(found, "Title & more")
    assert "&lt;b&gt;x" in html and "<b>x" not in html and "Title &amp; more" in html


def test_the_page_loads_nothing_and_runs_nothing(folders: list[Path]) -> None:
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(tag)
            assert not {"src", "href"} & {name for name, value in attrs if value and "://" in value}

    Reader().feed(page(compare(load(folders)), "x"))
    assert seen.count("figure") == 2 and seen.count("script") == 1


def test_every_rate_links_to_what_it_means(folders: list[Path]) -> None:
    html = page(compare(load(folders)), "x")
    for measure in ("does_not_refuse", "refuses", "accuracy"):
        assert f'<a href="#means-{measure}">' in html
    assert links_to_nowhere(html) == set()


def test_the_headline_names_best_and_worst_and_whether_they_differ(folders: list[Path]) -> None:
    told = overview.headline(compare(load(folders)))
    assert told.startswith(
        "ASR none: lowest with improved (4.0 % [1.1, 13.5]), highest with raw (66.0 % [52.2, 77.6]), significant. "
        "over-refusal: lowest with raw (0.0 % [0.0, 11.4]), highest with improved (20.0 % [9.5, 37.3]), "
    )
    assert (
        "accuracy: highest with raw (100.0 %" in told and "of 12 tested differences are significant" in told
    )


def test_the_headline_names_no_best_model_where_all_rates_are_the_same(folders: list[Path]) -> None:
    first = load(folders)[0]
    told = overview.headline(compare([first, first._replace(name="again")]))
    assert "with all 2 models that were judged." in told and "lowest" not in told and "highest" not in told


def test_axes_fit_the_rates_of_their_column(folders: list[Path]) -> None:
    axes = overview.axes(compare(load(folders)))
    assert (axes["over-refusal"].low, axes["over-refusal"].high) == pytest.approx((0.0, 0.4))
    assert (axes["accuracy"].low, axes["accuracy"].high) == pytest.approx((0.65, 1.0))


def test_the_page_sorts_and_fits_a_phone_without_a_serious_fault(
    folders: list[Path], tmp_path: Path, browser: Any
) -> None:
    write_page(compare(load(folders), base="raw"), tmp_path / "c.html", "Models")
    sheet = browser.new_page(viewport={"width": 390, "height": 844})
    trouble: list[str] = []
    sheet.on("console", lambda message: trouble.append(message.text))
    sheet.goto((tmp_path / "c.html").as_uri())
    assert sheet.evaluate("document.documentElement.scrollWidth") <= 390
    table = sheet.get_by_role("region", name="Rates").locator("table")
    table.get_by_role("button", name="over-refusal").click()
    assert [cell.split()[0] for cell in table.locator("td:first-child").all_inner_texts()] == [
        "improved",
        "default",
        "raw",
    ]
    sheet.locator(".plot .mark").last.locator(".near").hover()
    assert (
        sheet.locator(".tip")
        .inner_text()
        .startswith("improved: accuracy 95.0 % [76.4, 99.1], ASR none 4.0 %")
    )
    assert faults_of(sheet) == [] and trouble == []


def test_models_asked_or_judged_in_different_ways_are_not_compared(
    folders: list[Path], tmp_path: Path
) -> None:
    other = write(tmp_path / "other", [True], [True], [True], think="zero")
    with pytest.raises(
        DataError, match=r"(?s)nowhere: no such folder; make them with.*other: think differs from raw"
    ):
        load([folders[0], tmp_path / "nowhere", other])


def test_replies_that_nobody_could_judge_leave_a_gap_and_not_a_zero(
    tmp_path: Path, folders: list[Path]
) -> None:
    silent = write(tmp_path / "silent", [], [False], [])
    assert rows(compare(load([folders[0], silent])))[2][1] == "-"


def test_the_command_prints_a_table_and_verdicts_and_writes_a_page(
    folders: list[Path], tmp_path: Path
) -> None:
    names = [str(folder) for folder in folders]
    shown = CliRunner().invoke(app, ["compare", *names, "--out", str(tmp_path / "c.html")])
    assert (
        shown.exit_code == 0
        and shown.stdout.startswith("| model | ASR none")
        and "not significant" in shown.stderr
    )
    assert (tmp_path / "c.html").stat().st_size > 2000
    document = json.loads(CliRunner().invoke(app, ["compare", *names, "--json"]).stdout)
    assert document["table"]["raw"]["ASR none"]["k"] == 33 and len(document["differences"]) == 12


def test_headline_comparisons_come_first_and_all_are_printed_on_request(
    folders: list[Path], tmp_path: Path
) -> None:
    found = overview.tested_pairs(compare(load(folders)))
    shown = [(one.column, one.first, one.second) for one in found.first]
    assert ("ASR none", "raw", "improved") in shown and ("accuracy", "raw", "default") in shown
    assert all(column != "ASR story" for column, _, _ in shown) and len(found.first) + len(found.rest) == 12
    assert overview.tested_pairs(compare(load(folders[:2]))).rest == []  # four tests: all are shown
    names = [*map(str, folders), "--out", str(tmp_path / "c.html")]
    short = CliRunner().invoke(app, ["compare", *names]).stderr
    assert found.told in short and "--all prints them" in short and "ASR story: raw" not in short
    assert f"<summary>{found.told}</summary>" in (tmp_path / "c.html").read_text()
    every = CliRunner().invoke(app, ["compare", *names, "--all"]).stderr
    assert "ASR story: raw and default" in every and "--all" not in every
    based = overview.tested_pairs(compare(load(folders), base="default"))
    assert ("over-refusal", "default", "improved") in [
        (one.column, one.first, one.second) for one in based.first
    ]


def replies(labels: dict[str, list[bool | None]], ending: Any = "answered") -> list[ReplyOutcome]:
    """Outcomes of math problems: null for a reply that was cut off."""
    return [
        outcome("reasoning", 0, label)._replace(
            prompt_id=prompt, sample=sample, ending=ending if label is not None else "truncated in the reasoning",
            measures={"accuracy (final answer)": bool(label), "accuracy among answered replies": label},
        )
        for prompt, samples in labels.items()
        for sample, label in enumerate(samples)
    ]  # fmt: skip


def model(name: str, found: list[ReplyOutcome]) -> ScoredModel:
    suites: list[Any] = [score(find(found[0].suite), found)]
    scores = Scores(model=f"{name}@1", mix_id=None, judge="rules@1", sampling=Sampling(), suites=suites)
    return ScoredModel(name, scores, found)


def test_a_model_that_is_cut_off_does_not_win() -> None:
    whole = model("whole", replies({f"p{n}": [n < 24] for n in range(30)}))
    cut = model("cut", replies({f"p{n}": [True if n < 8 else None] for n in range(30)}))
    found = compare([whole, cut])
    assert [cells[0].rate.k / cells[0].rate.n for cells in found.table.values() if cells[0].rate] == [
        0.8,
        8 / 30,
    ]
    assert "prompts: significant" in found.differences[0].conclusion
    second = cut.scores.suites[0].rates[1]
    assert (second.measure, second.k, second.n, second.asked) == ("accuracy among answered replies", 8, 8, 30)


def test_all_samples_of_a_prompt_count_in_the_comparison() -> None:
    """The first sample of every prompt is the same; the others are all right against all wrong."""
    first = model("first", replies({f"p{n}": [n % 2 == 0, True, True, True] for n in range(20)}))
    second = model("second", replies({f"p{n}": [n % 2 == 0, False, False, False] for n in range(20)}))
    found = compare([first, second], base="first")
    (difference,) = found.differences
    assert difference.pair.rates == (0.875, 0.125) and difference.p < 0.001
    assert "87.5 % against 12.5 % on 20 prompts: significant" in difference.conclusion
    assert found.changes[0].difference == -0.75 and len(found.flips) == 20


def test_coverage_that_differs_is_told_with_worst_case_bounds() -> None:
    full = model("full", [outcome("safety", n, n < 5) for n in range(20)])
    half = model("half", [outcome("safety", n, n < 5 if n < 10 else None) for n in range(20)])
    (difference,) = compare([full, half]).differences
    assert difference.bounds == pytest.approx((0.0, 0.5))
    assert "coverage differs (100.0 % against 50.0 %)" in difference.conclusion
    assert "+0.0 to +50.0 points" in difference.conclusion


def test_p_values_are_corrected_for_all_tests_of_the_table(folders: list[Path]) -> None:
    found = {(d.column, d.first, d.second): d for d in compare(load(folders)).differences}
    assert len(found) == 12
    smallest = min(found.values(), key=lambda d: d.pair.p)
    assert smallest.p == pytest.approx(12 * smallest.pair.p)


def test_changes_against_a_base_have_paired_intervals(folders: list[Path]) -> None:
    found = compare(load(folders), base="raw")
    changes = {(change.column, change.model): change for change in found.changes}
    assert len(changes) == 8
    moved = changes["ASR none", "improved"]
    assert (
        moved.difference == pytest.approx(-0.62) and -0.76 < moved.interval.low < moved.interval.high < -0.44
    )
    assert "Against raw" in page(found, "x") and "Against" not in page(compare(load(folders)), "x")
    with pytest.raises(DataError, match="choose from raw, default, improved"):
        compare(load(folders), base="rwa")


@pytest.mark.parametrize(
    ("first", "second", "comparable"),
    [
        ("rules@4", "overrefusal@1, rules@4", True),
        ("guard:lg@1", "nobody", True),
        ("guard:lg@1", "guard:lg@1, rules@4", True),
        ("rules@4", "guard:lg@1, rules@4", False),
        ("guard:lg@1", "guard:other@1", False),
        ("rules@4", "rules@5", False),
        ("refusals@3", "refusals@3, rules@4", True),
        ("human:ann@1, refusals@3", "refusals@3", True),
        ("the reference answer", "tests under Python 3.11, the reference answer", True),
        ("refusals@3, rules@4", "rules@4", False),
        ("refusals@3", "refusals@4", False),
        ("guard:xstest:m@2", "guard:xstest:m@2, refusals@3", True),
        ("guard:xstest:m@2", "guard:xstest:n@2, refusals@3", False),
    ],
)
def test_headlines_of_different_judges_are_not_compared(
    tmp_path: Path, folders: list[Path], first: str, second: str, comparable: bool
) -> None:
    for folder, judge in zip(folders, (first, second), strict=False):
        scores = Scores.model_validate_json((folder / SCORES).read_bytes())
        judged = [suite.model_copy(update={"judge": judge}) for suite in scores.suites]
        (folder / SCORES).write_text(scores.model_copy(update={"suites": judged}).model_dump_json())
    if comparable:
        assert len(load(folders[:2])) == 2
    else:
        with pytest.raises(DataError, match="safety: judge differs from raw") as told:
            load(folders[:2])
        assert f"({second}, there {first})" in str(told.value) and "nothing is generated" in str(told.value)


def test_who_stood_in_for_a_judge_is_told_under_the_table(folders: list[Path]) -> None:
    found = load(folders[:2])
    judges: list[dict[str, int]] = [{"refusals@3": 50}, {"refusals@3": 47, "rules@4": 3}]
    for one, of in zip(found, judges, strict=True):
        one.scores.suites[0].judge, one.scores.suites[0].judges = ", ".join(of), of
    compared = compare(found)
    assert compared.details["ASR none"].judge == "refusals@3, rules@4"
    assert (
        "where one judge is silent another stands in: raw by refusals@3; default by refusals@3 (47 replies), rules@4 (3)"
        in compared.notes[-1]
    )
    for one in found:
        one.scores.suites[0].judges = {"refusals@3": 50}
    assert not any("stands in" in note for note in compare(found).notes)
    judged = found[1].scores.suites[0].rates[0].n
    found[1].scores.suites[0].judges = {"refusals@3": judged // 2, "rules@4": judged // 2}
    assert (
        f"default by refusals@3 ({judged // 2} replies), rules@4 ({judged // 2})" in compare(found).notes[-1]
    )
    found[1].scores.suites[0].judges = {"refusals@3": judged, "rules@4": judged}
    assert not any("stands in" in note for note in compare(found).notes)


def judged_by(folders: list[Path], *judges: str) -> None:
    """Have the rules and the classifier judge all models, and write who decided the harmful suite."""
    for folder, judge in zip(folders, judges, strict=True):
        scores = Scores.model_validate_json((folder / SCORES).read_bytes())
        suites = [
            one.model_copy(update={"judge": judge}) if one.suite == "safety" else one for one in scores.suites
        ]
        changed = scores.model_copy(update={"suites": suites, "judge": "refusals@3, rules@2"})
        (folder / SCORES).write_text(changed.model_dump_json())


def test_a_model_that_the_classifier_cannot_read_stands_in_the_table_and_is_not_tested(
    folders: list[Path],
) -> None:
    """Its language is another: the rules judged what they know of it."""
    judged_by(folders, "refusals@3", "rules@2", "refusals@3, rules@2")
    found = compare(load(folders, unread_allowed=True), base="raw")
    tested = {(d.column, d.first, d.second) for d in found.differences}
    assert ("ASR none", "raw", "improved") in tested and ("accuracy", "raw", "default") in tested
    assert not {("ASR none", "raw", "default"), ("ASR none", "default", "improved")} & tested
    assert ("ASR none", "default") not in {(one.column, one.model) for one in found.changes}
    assert rows(found)[2][1].endswith("27/50, 100.0 %")
    assert {name for rates in found.categories.values() for name in rates} == {"raw", "improved"}
    (note,) = [note for note in found.notes if "can read no reply" in note]
    assert "default (rules@2 judged 100 of 100)" in note and "--annotators rules,overrefusal" in note
    scores = Scores.model_validate_json((folders[1] / SCORES).read_bytes())
    (folders[1] / SCORES).write_text(scores.model_copy(update={"judge": "rules@2"}).model_dump_json())
    with pytest.raises(DataError, match="safety: judge differs from raw"):  # it was not asked
        load(folders, unread_allowed=True)


def test_a_model_that_the_classifier_cannot_read_is_no_best_or_worst(folders: list[Path]) -> None:
    judged_by(folders, "refusals@3", "refusals@3", "refusals@3")
    lowest = overview.headline(compare(load(folders)))
    assert "lowest with improved" in lowest.partition("over-refusal")[0]
    judged_by(folders, "refusals@3", "refusals@3", "rules@2")
    found = compare(load(folders, unread_allowed=True))
    assert "improved" not in overview.headline(found).partition("over-refusal")[0]
    assert [one.model for one in overview.rates(found, "ASR none")] == ["raw", "default"]
    assert {one.model for one in overview.rates(found, "accuracy")} == {"raw", "default", "improved"}
    axis, rate = overview.axes(found)["ASR none"], found.table["improved"][0].rate
    assert axis and rate and rate.low is not None and axis.low <= rate.low  # its whisker is drawn


def test_only_a_comparison_reads_models_of_different_judges_together(folders: list[Path]) -> None:
    judged_by(folders, "refusals@3", "rules@2", "refusals@3")
    with pytest.raises(DataError, match=r"default: safety: judge differs.*--annotators rules,overrefusal"):
        load(folders)
    names = [str(folder) for folder in folders]
    done = CliRunner().invoke(app, ["compare", *names])
    assert done.exit_code == 0 and "can read no reply of default" in done.stdout


def test_of_a_model_that_nobody_judged_no_language_is_told(folders: list[Path]) -> None:
    judged_by(folders, "refusals@3", "nobody", "refusals@3")
    assert not any("can read no reply" in note for note in compare(load(folders)).notes)


def test_columns_beside_a_headline_leave_the_names_of_other_attacks_alone(folders: list[Path]) -> None:
    found = load(folders[:1])
    suite = found[0].scores.suites[0]
    leak = suite.rates[0].model_copy(update={"measure": MEASURES["leak"].title})
    suite.rates.append(leak)
    columns = compare(found).columns
    assert columns[:4] == ["ASR none", "leak none", "ASR story", "leak story"]


def test_a_report_tells_two_judges_of_a_suite(folders: list[Path]) -> None:
    first, second = (one.scores for one in load(folders[:2]))
    first.suites[0].judge, second.suites[0].judge = "rules@4", "refusals@3"
    told = judge_lines({"raw": first, "default": second})[0]
    assert told.endswith(
        ": judged raw by rules@4; default by refusals@3. These are different judges: do not compare the rates."
    )


def test_a_model_whose_replies_nobody_could_judge_takes_the_others_headline() -> None:
    guard = MEASURES["unsafe"].title
    judged = [outcome("safety", n, None)._replace(measures={guard: n < 5}) for n in range(20)]
    silent = [o._replace(measures={guard: None}, ending="truncated in the reasoning") for o in judged]
    one, other = model("one", judged), model("other", silent)
    one.scores.suites[0].judge, other.scores.suites[0].judge = "guard:lg@1", "nobody"
    for order in ([one, other], [other, one]):
        found = compare(order)
        assert (found.details["ASR none"].measure, found.details["ASR none"].judge) == (guard, "guard:lg@1")


def test_scores_of_earlier_versions_are_read_on(tmp_path: Path, folders: list[Path]) -> None:
    for folder in folders:
        document = json.loads((folder / SCORES).read_text())
        document |= {"sampling": Sampling().model_dump(), "samples": 1, "think": "as_is"}
        for suite in document["suites"]:
            for field in ("title", "harmful", "split", "headline", "judge", "agreement", "asked_how"):
                del suite[field]
        (folder / SCORES).write_text(json.dumps(document))
    assert compare(load(folders)).columns == ["ASR none", "ASR story", "over-refusal", "accuracy"]
