"""Scores in a terminal of 80 columns, and what a finished run says."""

import pytest

from schemas.manifest import Counts, Manifest
from sft.scoring.printing import show
from sft.scoring.rates import Rate
from sft.scoring.scores import Scores
from sft.scoring.suites import SuiteScore
from sft.training import stage


def rate(measure: str, k: int, n: int, unjudged: int = 0) -> Rate:
    return Rate(
        measure=measure, k=k, n=n, unjudged=unjudged, asked=1200, coverage=n / 1200,
        rate=k / n if n else None, low=0.123 if n else None, high=1.0 if n else None,
    )  # fmt: skip


def test_the_table_loses_no_word_in_eighty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rates = [
        rate("inconsistency in the reasoning", 1000, 1000),
        rate("over-refusal (answer refuses)", 0, 0, 1200),
    ]
    suite = SuiteScore(
        suite="overrefusal", asked=1200, answered=1000, think_states={}, rates=rates,
        endings={"answered": 1000, "truncated in the reasoning": 200}, by_attack={"authority": rate("", 1, 2)},
    )  # fmt: skip
    show(Scores(model="with-answers@56dc8222dde7", mix_id=None, judge="rules@2", suites=[suite]))
    said = capsys.readouterr().out
    assert "…" not in said and max(map(len, said.splitlines())) <= 80
    assert said.count("truncated") == 1 and "1200 asked, answered 1000" in said
    for shown in ("1000 / 1000", "100.0 [12.3, 100.0]", "authority", "83.3 %", "inconsistency", "0 / 0"):
        assert shown in said, shown


def test_a_finished_run_says_its_steps_and_loss(capsys: pytest.CaptureFixture[str]) -> None:
    summary = {"steps": 16, "train_loss": 1.831673}
    stage.show(
        Manifest(stage="sft", recipe={}, versions={}, counts=Counts(rows=20, kept=20), summary=summary)
    )
    assert capsys.readouterr().out == "16 steps, mean loss 1.83\n"
