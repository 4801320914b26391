import json
from collections.abc import Callable
from typing import Any

import pytest

from annotators.base import UNASKED
from annotators.judge.judge import settled
from annotators.judge.reading import outside_scope
from curation.annotate import asking
from curation.annotate import stage as annotate
from curation.annotate.abstentions import SUMMARY, require_verdicts
from curation.annotate.stage import AnnotateRecipe
from curation.corpus.store import Store
from curation.engines.openai import ServerSettings
from curation.engines.settings import EngineSettings
from schemas.errors import EngineError
from schemas.manifest import Manifest
from schemas.patterns import RISKY_PATTERNS
from tests.annotators.recorded import make_trace
from tests.command_line import curate
from tests.curation.models import Scripted

ENGINE = EngineSettings(model="m", server=ServerSettings(base_url="http://localhost:1/v1"))
ABSENT = {"analysis": "", "evidence": [], "label": "absent"}
UNSURE = {"analysis": "", "evidence": [], "label": "unsure"}

Judge = Callable[..., Manifest]


@pytest.fixture
def judged(corpus: Store, monkeypatch: pytest.MonkeyPatch) -> Judge:
    def judge(verdict: dict[str, Any], kinds: tuple[str, ...] = ("harmful",), **others: Any) -> Manifest:
        said = json.dumps({name: others.get(name, verdict) for name in RISKY_PATTERNS})
        monkeypatch.setattr(asking, "open_engine", lambda settings: Scripted(lambda messages: said))
        rows = [
            make_trace(f"How do I copy permit {n}?", "That is forgery. No.").model_dump() | {"kind": kind}
            for n, kind in enumerate(kinds * 4)
        ]
        corpus.append_rows("traces", rows)
        return annotate.run(corpus.root, AnnotateRecipe(annotators=["judge:tutor", "rules"], engine=ENGINE))

    return judge


def test_a_judge_that_abstains_on_everything_is_a_failure_with_the_reasons(
    judged: Judge, corpus: Store
) -> None:
    manifest = judged(UNSURE)
    (told,) = manifest.summary[SUMMARY].values()  # type: ignore[attr-defined]
    assert set(told) == set(RISKY_PATTERNS) and told[RISKY_PATTERNS[0]]["why"] == {"judged unsure": 4}
    with pytest.raises(EngineError, match=r"abstained on all 20 verdicts: judged unsure \(20\)"):
        require_verdicts(manifest)
    ran = curate(
        "annotate", "--annotators", "judge:tutor", "--model", "m", "--base-url", "http://localhost:1/v1",
        "--corpus", str(corpus.root), cwd=corpus.root,
    )  # fmt: skip
    assert ran.returncode == 1 and "abstained on all" in ran.stderr


def test_most_verdicts_of_one_pattern_abstained_is_a_warning_for_that_pattern(
    judged: Judge, capsys: pytest.CaptureFixture[str]
) -> None:
    first = RISKY_PATTERNS[0]
    require_verdicts(judged(ABSENT, **{first: UNSURE}))
    said = capsys.readouterr().err
    assert (
        f"abstained on 4 of 4 verdicts of {first}: judged unsure (4)" in said and said.count("warning") == 1
    )


def test_what_the_judge_was_not_asked_for_is_no_abstention(
    judged: Judge, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = judged(ABSENT, kinds=("benign", "math"))
    require_verdicts(manifest)
    assert "warning" not in capsys.readouterr().err
    (told,) = manifest.summary[SUMMARY].values()  # type: ignore[attr-defined]
    assert {name: one["abstained"] for name, one in told.items()} == {"inconsistency": 0}


def test_the_judges_words_for_what_it_was_not_asked_are_known() -> None:
    math = make_trace("2 + 2?", "4.").model_copy(update={"kind": "math"})
    silent = make_trace("Why?", "").model_copy(update={"reasoning": " "})
    whys = [one.why for trace in (math, silent) for one in (settled(trace) or {}).values()]
    whys += [one.why for one in outside_scope(math).values()]
    assert len(whys) >= 10 and all(why.startswith(UNASKED) for why in whys)


def test_a_pattern_without_verdicts_counts_zero_and_not_null(corpus: Store) -> None:
    manifest = annotate.run(corpus.root, AnnotateRecipe(annotators=["rules"]))
    of_rules: Any = next(iter(manifest.summary.values()))
    assert of_rules and all(one == {"true": 0, "false": 0, "abstained": 0} for one in of_rules.values())
    assert SUMMARY not in manifest.summary
