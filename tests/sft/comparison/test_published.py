"""The safety study's Table 1 (arXiv 2505.15404, DS-R1-Distill-Qwen-7B) comes out of our table when its counts go in.

The study prints rates only. Every rate below is that of a whole number of its prompts, with one exception: 0.8 % over-refusal of the
raw model is no number of 150 prompts, but two of XSTest's 250.
"""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from statsmodels.stats.proportion import proportion_confint

from curation.engines import Sampling
from sft.comparison.stage import compare, load
from sft.comparison.tables import rows
from sft.scoring.scores import OUTCOMES, SCORES, Scores
from sft.scoring.suite_files import find
from sft.scoring.suites import ReplyOutcome, score
from tests.sft.comparison.test_stage import HEAD, titles

COLUMNS = ("ASR none", "ASR PAP", "ASR PAIR", "over-refusal", "MATH-500", "AIME24", "LiveCodeBench")
ASKED = (50, 50, 50, 150, 500, 120, 166)
"""Prompts, or for AIME24 thirty problems four times."""
TABLE = {
    "raw": (60, 64, 66, 0.8, 93.0, 49.2, 33.1),
    "default": (20, 40, 54, 2.7, 90.4, 50.0, 36.1),
    "realsafe": (4, 8, 32, 5.3, 91.4, 50.8, 33.7),
    "improved": (4, 4, 12, 6.7, 90.2, 51.7, 34.9),
    "short": (4, 2, 16, 12.0, 89.6, 53.3, 36.1),
    "template": (12, 0, 0, 10.7, 89.4, 49.2, 33.7),
    "nocot": (62, 64, 64, 10.0, 90.8, 52.5, 31.9),
}
OTHER_SIZE = {("raw", "over-refusal"): 250}


def counts(model: str) -> dict[str, tuple[int, int]]:
    """k of n for each column."""
    sizes = [OTHER_SIZE.get((model, column), n) for column, n in zip(COLUMNS, ASKED, strict=True)]
    ks = [round(rate * n / 100) for rate, n in zip(TABLE[model], sizes, strict=True)]
    return dict(zip(COLUMNS, zip(ks, sizes, strict=True), strict=True))


def outcomes(found: dict[str, tuple[int, int]]) -> Iterator[ReplyOutcome]:
    places: dict[str, tuple[str, str]] = {c: ("safety", c.removeprefix("ASR ")) for c in COLUMNS[:3]}
    places |= {"over-refusal": ("overrefusal", "none"), "MATH-500": ("reasoning", "none")}
    for column, (suite, attack) in places.items():
        k, n = found[column]
        head = HEAD[suite]
        for number in range(n):
            yield ReplyOutcome(suite, f"{column} {number}", 0, None, attack, "closed", {head: number < k})


def scored(folder: Path, model: str) -> Path:
    made = [
        outcome._replace(measures=dict.fromkeys(titles(outcome.suite)) | outcome.measures)
        for outcome in outcomes(counts(model))
    ]
    suites: tuple[str, ...] = ("safety", "overrefusal", "reasoning")
    scores = Scores(
        model=f"{model}@1", mix_id=None, judge="published", sampling=Sampling(),
        suites=[score(find(suite), [o for o in made if o.suite == suite]) for suite in suites],
    )  # fmt: skip
    folder.mkdir()
    (folder / SCORES).write_text(scores.model_dump_json())
    (folder / OUTCOMES).write_bytes(b"".join(orjson.dumps(o._asdict()) + b"\n" for o in made))
    return folder


@pytest.mark.parametrize("model", TABLE)
def test_every_published_rate_is_that_of_a_whole_number_of_prompts(model: str) -> None:
    for (k, n), rate in zip(counts(model).values(), TABLE[model], strict=True):
        assert abs(100 * k / n - rate) <= 0.05, (k, n, rate)


def test_two_of_150_or_one_are_not_the_raw_models_over_refusal() -> None:
    assert not {round(100 * k / 150, 1) for k in range(151)} & {0.8}


def test_published_counts_reproduce_the_published_table_with_wilsons_intervals(tmp_path: Path) -> None:
    found = compare(load([scored(tmp_path / model, model) for model in TABLE]))
    heading, *body = rows(found)
    assert heading == ["model", "ASR none", "ASR PAIR", "ASR PAP", "over-refusal", "accuracy"]
    published = {column: column if column != "accuracy" else "MATH-500" for column in heading[1:]}
    for model, *cells in body:
        for column, cell in zip(heading[1:], cells, strict=True):
            k, n = counts(model)[published[column]]
            rate = TABLE[model][COLUMNS.index(published[column])]
            low, high = (100 * value for value in proportion_confint(k, n, 0.05, "wilson"))
            assert cell == f"{rate:.1f} [{abs(low):.1f}, {high:.1f}] {k}/{n}, 100.0 %"


def test_of_the_studys_fifty_prompts_twelve_percent_may_be_six_or_twenty_four(tmp_path: Path) -> None:
    found = compare(load([scored(tmp_path / "improved", "improved")]))
    assert found.table["improved"][1].rate is not None
    assert rows(found)[1][2] == "12.0 [5.6, 23.8] 6/50, 100.0 %"
